"""Samples of a layer and of responses that belong together, and how they are divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convergent.alignment import (
    Split,
    block_orders,
    fir,
    halves_of_items,
    halves_of_story,
    inner_item_splits,
    inner_story_splits,
    item_orders,
    item_splits,
    story_orders,
    story_splits,
    words_to_volumes,
)
from convergent.brains import Design, Responses, StimulusSet, align, join_items
from convergent.errors import ConfigError
from convergent.store import Store
from convergent.study import FitConfig


@dataclass(frozen=True)
class Samples:
    """Joined samples: items by their ids, volumes of a story by time.

    Attributes
    ----------
    features : ndarray, shape (sample, feature)
        Of a story: a column for each feature and delay.
    rows : ndarray of int, shape (sample,)
        Rows of the responses that answer to the features.
    design : {"items", "story"}
    ids : ndarray of str, shape (sample,), or None
        Of items.
    groups : ndarray, shape (sample,), or None
        Items of one group stay together.
    """

    features: np.ndarray
    rows: np.ndarray
    design: Design
    ids: np.ndarray | None = None
    groups: np.ndarray | None = None

    @classmethod
    def join(
        cls, features: Store, stimuli: StimulusSet, brain: Responses, config: FitConfig
    ) -> Samples:
        """Join a layer's features with what a subject's responses are responses to."""
        if brain.design == "items":
            rows, columns = join_items(features["stimulus_id"], brain, require_all=False)
            assert brain.stimulus_id is not None
            ids = brain.stimulus_id[columns]
            groups = None
            if stimuli.group is not None:
                groups = stimuli.group[align(stimuli.ids, ids)]
            return cls(features["features"][rows], columns, "items", ids, groups)
        words = align(features["stimulus_id"], stimuli.ids)
        assert stimuli.onset is not None and stimuli.offset is not None
        assert brain.tr is not None and brain.start is not None
        volumes = words_to_volumes(
            features["features"][words],
            (stimuli.onset + stimuli.offset) / 2,
            n_volumes=len(brain.data),
            tr=brain.tr,
            start=brain.start,
        )
        return cls(fir(volumes, config.delays), np.arange(len(brain.data)), "story")

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.features)

    def splits(self, config: FitConfig) -> Sequence[Split]:
        """Outer folds."""
        if self.ids is None:
            return story_splits(self.count, folds=config.folds, trim=config.trim)
        return item_splits(self.ids, self.groups, folds=config.folds, seed=config.seed)

    def inner_splits(self, config: FitConfig) -> Callable[[np.ndarray], Sequence[Split]]:
        """Inner folds, given the training rows."""
        if self.ids is None:
            return lambda train: inner_story_splits(
                train, folds=config.inner_folds, trim=config.trim
            )
        ids, groups = self.ids, self.groups
        return lambda train: inner_item_splits(
            train, ids, groups, folds=config.inner_folds, seed=config.seed
        )

    def halves(self, config: FitConfig) -> tuple[np.ndarray, np.ndarray]:
        """Two halves: layers are chosen on one and scored on the other."""
        if self.ids is None:
            return halves_of_story(self.count, config.trim)
        return halves_of_items(self.ids, self.groups, seed=config.seed)

    def orders(self, config: FitConfig) -> np.ndarray | None:
        """Row orders of the permutation null of encoding models."""
        if config.permutations == 0:
            return None
        if self.ids is not None:
            return item_orders(self.ids, permutations=config.permutations, seed=config.seed)
        if not config.shifts:
            return self._blocks(config, None)
        return story_orders(
            self.count,
            permutations=config.permutations,
            minimum=max(config.delays) + config.trim,
            seed=config.seed,
        )

    def orders_within(self, halves: Sequence[np.ndarray], config: FitConfig) -> np.ndarray | None:
        """Row orders that keep every sample in its half."""
        if config.permutations == 0:
            return None
        if self.ids is None:
            return self._blocks(config, halves)
        return item_orders(
            self.ids, permutations=config.permutations, seed=config.seed, within=halves
        )

    def _blocks(self, config: FitConfig, halves: Sequence[np.ndarray] | None) -> np.ndarray:
        return block_orders(
            self.count,
            block=config.block,
            permutations=config.permutations,
            seed=config.seed,
            within=halves,
        )

    def at_most(self, count: int | None, config: FitConfig) -> Samples:
        """A random part of the items, whose pairs are then affordable.

        Raises
        ------
        ConfigError
            The samples are volumes of one story, which cannot be thinned.
        """
        if count is None or self.count <= count:
            return self
        if self.ids is None:
            raise ConfigError(
                f"similarity_stimuli is {count}, and the {self.count} volumes of a story belong "
                "together",
                where="fit",
                fix="set fit.similarity_stimuli: null",
            )
        by_id = np.argsort(self.ids, kind="stable")
        drawn = np.random.default_rng(config.seed).permutation(self.count)[:count]
        kept = np.sort(by_id[drawn])
        return replace(
            self,
            features=self.features[kept],
            rows=self.rows[kept],
            ids=self.ids[kept],
            groups=None if self.groups is None else self.groups[kept],
        )
