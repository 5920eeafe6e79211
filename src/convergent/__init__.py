"""Convergent: alignment between AI models and the human brain, at the scale of hundreds of models."""

__version__ = "0.1.0"
