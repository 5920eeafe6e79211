"""Which way a measure of performance improves, and what its onset may be used for."""

from __future__ import annotations

from typing import Literal

Kind = Literal["continuous", "thresholded", "exponential"]

_FALLS = ("loss", "bits_per_byte", "bits_per_character", "nats", "ppl", "perplexity", "error")
_CONTINUOUS = ("loss", "bits_per_byte", "bits_per_character", "nats", "log_likelihood")
_EXPONENTIAL = ("ppl", "perplexity")


def rises(benchmark: str) -> bool:
    """Whether a better model scores higher: losses, bits a byte and perplexities fall.

    Parameters
    ----------
    benchmark : str
        Its name in the tables, for example ``probe_logloss``.
    """
    return not benchmark.lower().endswith(_FALLS)


def kind(benchmark: str) -> Kind:
    """What a measure is of the ability behind it.

    ``continuous`` measures (losses, bits a byte, log-likelihoods) move with every gain. Shares of
    right answers are ``thresholded``: a gain shows once it carries an item over a threshold.
    Perplexities are ``exponential``: nearly all of their range is lost in the first steps. A
    measure of unknown name counts as thresholded, of which least is claimed.

    Parameters
    ----------
    benchmark : str
    """
    name = benchmark.lower()
    if name.endswith(_EXPONENTIAL):
        return "exponential"
    return "continuous" if name.endswith(_CONTINUOUS) else "thresholded"
