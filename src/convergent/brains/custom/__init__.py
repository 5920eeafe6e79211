"""A data set of one's own, described by one file."""

from convergent.brains.custom.config import OwnConfig, read_own
from convergent.brains.custom.example import write_example
from convergent.brains.custom.reader import OwnData

__all__ = ["OwnConfig", "OwnData", "read_own", "write_example"]
