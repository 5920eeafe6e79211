"""Noise ceilings of similarity metrics: how well the subjects of a data set predict each other."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from convergent.brains import Responses, StimulusSet, join_items
from convergent.errors import DataError, IdError
from convergent.pipeline.data import read_responses, read_stimuli
from convergent.pipeline.metrics import compared
from convergent.pipeline.samples import Samples
from convergent.store import StoreRequest
from convergent.study import FitConfig, Study
from convergent.tables.frames import CEILING_SCHEMA, frame, write_requested

if TYPE_CHECKING:
    from convergent.alignment.similarity import SimilarityCeiling

log = logging.getLogger(__name__)

# Subjects who saw fewer stimuli in common say next to nothing of how well they agree.
FEWEST = 16


def ceilings(study: Study, dataset: str) -> None:
    """Compute the ceilings of a data set's regions and write them to their table."""
    frames: list[pl.DataFrame] = []
    if study.config.fit.similarities:
        stimuli = read_stimuli(study, dataset)
        brains = []
        for subject in sorted(study.dataset(dataset).subjects):
            brain, store = read_responses(study, dataset, subject)
            if store.attrs["stimuli_sha256"] != stimuli.digest:
                raise IdError(
                    "responses and stimuli are of different stimulus sets",
                    where=f"data set '{dataset}', subject '{subject}'",
                    fix="rerun its responses",
                )
            brains.append(brain)
        frames = ceiling_frames(dataset, stimuli, brains, study.config.fit)
    write_requested(StoreRequest.of(study, "ceilings", {"dataset": dataset}), frames)


def ceiling_frames(
    dataset: str, stimuli: StimulusSet, brains: Sequence[Responses], config: FitConfig
) -> list[pl.DataFrame]:
    """Compute one frame a metric and scale, of one row a region of any subject."""
    from convergent.alignment.similarity import similarity_ceilings

    rows = common_rows(stimuli, brains, config)
    names = list(dict.fromkeys(name for brain in brains for name in brain.region.tolist()))
    used, count = list(zip(brains, rows, strict=True)), rows[0].size
    if len(brains) > 1 and count < FEWEST:
        log.warning(
            "data set '%s': no noise ceiling of similarity metrics from the %d stimuli that all "
            "subjects saw (%d are needed)", dataset, count, FEWEST,
        )  # fmt: skip
        used = [(brains[0], np.arange(len(brains[0].data)))]
    position = {name: index for index, name in enumerate(names)}
    found = similarity_ceilings(
        [_rows(brain, some) for brain, some in used],
        [np.array([position[name] for name in brain.region.tolist()]) for brain, _ in used],
        len(names),
        config.similarities,
        device=config.device,
    )
    common = {"dataset": dataset, "n_subjects": len(brains), "n_stimuli": count}
    return _frames(found, {**common, "region": names})


def _frames(
    found: Mapping[str, SimilarityCeiling], common: dict[str, object]
) -> list[pl.DataFrame]:
    return [
        frame(
            {**common, "metric": metric, "scale": scale, "lower": lower, "upper": upper},
            CEILING_SCHEMA,
        )
        for metric, bounds in found.items()
        for scale, lower, upper in zip(*bounds, strict=True)
    ]


def _rows(brain: Responses, rows: np.ndarray) -> Any:
    """Responses to some stimuli; of dissimilarities, their distances from each other."""
    if brain.kind == "dissimilarities":
        return compared(brain)[rows]
    return brain.data[rows]


def common_rows(
    stimuli: StimulusSet, brains: Sequence[Responses], config: FitConfig
) -> list[np.ndarray]:
    """Rows of each subject's responses that answer to the same stimuli, in the same order.

    Items are those that all subjects saw, in the order of the stimuli, drawn as fits draw them
    where ``similarity_stimuli`` is fewer. A story is whole.

    Raises
    ------
    DataError
        Volumes of a story that are not of the same moments for all subjects.
    ConfigError
        A story that ``similarity_stimuli`` would cut.
    """
    if stimuli.design == "story":
        return _volumes(brains, config)
    joined = [join_items(stimuli.answered, brain, require_all=False) for brain in brains]
    shared = reduce(np.intersect1d, [seen for seen, _ in joined])
    samples = Samples(np.empty((shared.size, 0)), shared, "items", stimuli.answered[shared])
    kept = samples.at_most(config.similarity_stimuli, config).rows
    return [rows[np.searchsorted(seen, kept)] for seen, rows in joined]


def _volumes(brains: Sequence[Responses], config: FitConfig) -> list[np.ndarray]:
    first = brains[0]
    for brain in brains[1:]:
        if _moments(brain) != _moments(first):
            raise DataError(
                f"volumes of subjects '{first.subject}' and '{brain.subject}' are of different "
                f"moments (number, tr, start: {_moments(first)} and {_moments(brain)})",
                where=f"noise ceiling of data set '{brain.dataset}'",
                fix="cut the responses to the same volumes in the reader",
            )
    volumes = np.arange(len(first.data))
    story = Samples(np.empty((volumes.size, 0)), volumes, "story")
    return [story.at_most(config.similarity_stimuli, config).rows] * len(brains)


def _moments(brain: Responses) -> tuple[int, float | None, float | None]:
    return len(brain.data), brain.tr, brain.start
