"""Join stimuli and responses by stimulus id; a position never identifies a stimulus."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from convergent.brains.types import Responses
from convergent.errors import DataError, IdError, did_you_mean

_SHOWN = 5


def align(
    stimulus_ids: NDArray[np.str_],
    response_ids: NDArray[np.str_],
    *,
    require_all: bool = True,
    where: str = "join by stimulus id",
) -> NDArray[np.intp]:
    """Find the stimulus of each response.

    Parameters
    ----------
    stimulus_ids : ndarray of str, shape (stimulus,)
        Ids of the stimuli (or of the rows of a feature matrix).
    response_ids : ndarray of str, shape (sample,)
        Ids of the stimuli that the responses answer, in any order.
    require_all : bool
        Whether every stimulus must have a response. With False, a subject may have seen a part of
        the stimuli; a response to an unknown stimulus stays an error.
    where : str
        Data set and subject, for the message.

    Returns
    -------
    ndarray of int, shape (sample,)
        ``stimulus_ids[result]`` equals ``response_ids``.

    Raises
    ------
    IdError
        Ids that occur twice on one side, responses to unknown stimuli, no response at all, or
        (with ``require_all``) stimuli without a response; a few are named.
    """
    stimuli, answered = np.asarray(stimulus_ids, dtype=str), np.asarray(response_ids, dtype=str)
    for side, ids in (("stimuli", stimuli), ("responses", answered)):
        if ids.ndim != 1:
            raise IdError(
                f"the ids of the {side} have shape {ids.shape}", where=where, fix="give one axis"
            )
        unique, counts = np.unique(ids, return_counts=True)
        if unique.size != ids.size:
            raise IdError(
                f"{unique.size - np.sum(counts == 1)} ids occur more than once among the {side}: "
                f"{_few(unique[counts > 1])}",
                where=where,
                fix="average or drop repeats before joining",
            )
    position = {identifier: index for index, identifier in enumerate(stimuli.tolist())}
    unknown = [identifier for identifier in answered.tolist() if identifier not in position]
    if unknown:
        raise IdError(
            f"{len(unknown)} of {answered.size} responses answer unknown stimuli: {_few(unknown)}",
            where=where,
            fix="features and responses must come from one stimulus set; "
            + did_you_mean(unknown[0], position),
        )
    if answered.size == 0:
        raise IdError("there is no response", where=where, fix="check the subject's files")
    if require_all and answered.size < stimuli.size:
        missing = sorted(set(stimuli.tolist()) - set(answered.tolist()))
        raise IdError(
            f"{len(missing)} of {stimuli.size} stimuli have no response: {_few(missing)}",
            where=where,
            fix="complete the responses, or allow a subset with require_all=False",
        )
    return np.array([position[identifier] for identifier in answered.tolist()], dtype=np.intp)


def join_items(
    feature_ids: NDArray[np.str_], responses: Responses, *, require_all: bool = True
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of features and of responses that belong together.

    Both come in the order of the features, so that folds, and with them every score, do not depend
    on the order in which the responses happen to be stored.

    Parameters
    ----------
    feature_ids : ndarray of str, shape (stimulus,)
        Ids of the rows of the feature matrix.
    responses : Responses
        One subject's responses to items.
    require_all : bool
        Whether every stimulus must have a response.

    Returns
    -------
    features : ndarray of int, shape (sample,)
        Increasing rows of the feature matrix.
    rows : ndarray of int, shape (sample,)
        The responses' rows to the same stimuli.

    Raises
    ------
    DataError
        The responses are not to items, or carry no ids.
    IdError
        As in `align`.
    """
    where = f"data set '{responses.dataset}', subject '{responses.subject}'"
    if responses.design != "items" or responses.stimulus_id is None:
        raise DataError(
            f"responses of design '{responses.design}' carry no stimulus ids",
            where=where,
            fix="join stories by time, items by id",
        )
    stimulus = align(feature_ids, responses.stimulus_id, require_all=require_all, where=where)
    rows = np.argsort(stimulus, kind="stable")
    return stimulus[rows], rows


def _few(ids: Iterable[str]) -> str:
    shown = [str(identifier) for identifier in ids]
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
