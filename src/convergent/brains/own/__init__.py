"""A data set of one's own, described by one file."""

from convergent.brains.own._config import OwnConfig, read_own
from convergent.brains.own._example import write_example
from convergent.brains.own._reader import OwnData

__all__ = ["OwnConfig", "OwnData", "read_own", "write_example"]
