"""Similarity of two representations of the same stimuli: CKA, RSA, mutual nearest neighbours.

Every metric is the inner product of two vectors over pairs of stimuli, one made from the features
and one from the responses, so that a permutation null is a matrix product.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
