"""Human inferior temporal cortex and 92 pictures of objects (Kriegeskorte et al., 2008)."""

from convergent.brains.rsa92.reader import Rsa92Reader

__all__ = ["Rsa92Reader"]
