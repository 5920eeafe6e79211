"""Alignment between features and responses: pure functions on arrays.

Names are imported when they are first used: gathering scores into tables needs no torch, whose
import takes longer than the tables of a model.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
