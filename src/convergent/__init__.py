"""Convergent: do AI models that perform better represent the world like the human brain?"""

__version__ = "0.1.0"
