"""Alice in Wonderland, chapter 1: people listening to an audiobook in the scanner.

Region time courses of 27 people (Brennan et al., 2016; CC BY 4.0), with the times of the words.
"""

from convergent.brains.alice.files import download
from convergent.brains.alice.reader import AliceReader

__all__ = ["AliceReader", "download"]
