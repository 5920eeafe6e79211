"""Samples of a layer and of responses that belong together, and how they are divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convergent.alignment import (
    Split,
    block_orders,
    halves_of_items,
    halves_of_story,
    inner_item_splits,
    inner_story_splits,
    item_orders,
    item_resamples,
    item_splits,
    story_design,
    story_orders,
    story_resamples,
    story_splits,
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
    side : ndarray of str, shape (sample,), or None
        ``train`` or ``test``, where the data set fixes the division.
    """

    features: np.ndarray
    rows: np.ndarray
    design: Design
    ids: np.ndarray | None = None
    groups: np.ndarray | None = None
    side: np.ndarray | None = None

    @classmethod
    def join(
        cls, features: Store, stimuli: StimulusSet, brain: Responses, config: FitConfig
    ) -> Samples:
        """Join a layer's features with what a subject's responses are responses to."""
        if brain.design == "items":
            return cls._items(features, stimuli, brain)
        words = align(features["stimulus_id"], stimuli.ids)
        assert stimuli.onset is not None and stimuli.offset is not None
        assert brain.tr is not None and brain.start is not None
        design = story_design(
            features["features"][words],
            (stimuli.onset + stimuli.offset) / 2,
            n_volumes=len(brain.data),
            tr=brain.tr,
            start=brain.start,
            delays=config.delays,
        )
        return cls(design, np.arange(len(brain.data)), "story")

    @classmethod
    def _items(cls, features: Store, stimuli: StimulusSet, brain: Responses) -> Samples:
        assert brain.stimulus_id is not None
        values, answered = features_of_items(features, stimuli)
        if brain.sample_id is None:
            found, columns = join_items(answered, brain, require_all=False)
            ids = brain.stimulus_id[columns]
            groups = _of_items(stimuli, stimuli.group, ids)
            return cls(
                values[found], columns, "items", ids, groups, _of_items(stimuli, stimuli.split, ids)
            )
        # single trials: those of one stimulus belong together
        where = f"data set '{brain.dataset}', subject '{brain.subject}'"
        shown, member = np.unique(brain.stimulus_id, return_inverse=True)
        place = align(answered, shown, require_all=False, where=where)[member]
        columns = np.lexsort((brain.sample_id, place))
        items = brain.stimulus_id[columns]
        groups = _of_items(stimuli, stimuli.group, items)
        return cls(
            values[place[columns]],
            columns,
            "items",
            brain.sample_id[columns],
            items if groups is None else groups,
            _of_items(stimuli, stimuli.split, items),
        )

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.features)

    def splits(self, config: FitConfig) -> Sequence[Split]:
        """Outer folds, or the one split that the data set fixes.

        Raises
        ------
        ConfigError
            A fixed split of which this subject has one side only.
        """
        if self.ids is None:
            return story_splits(self.count, folds=config.folds, trim=config.trim_volumes)
        if self.side is not None:
            return (self._fixed(self.ids, self.side),)
        return item_splits(self.ids, self.groups, folds=config.folds, seed=config.seed)

    @staticmethod
    def _fixed(ids: np.ndarray, side: np.ndarray) -> Split:
        rows = np.argsort(ids, kind="stable")  # as folds list them, whatever the order of the rows
        train, test = rows[side[rows] == "train"], rows[side[rows] == "test"]
        if train.size < 2 or test.size < 2:
            raise ConfigError(
                f"the fixed split has {train.size} training and {test.size} test samples",
                where="fit",
                fix="give 2 or more on each side, or no split in the data set",
            )
        return Split(train, test)

    def inner_splits(self, config: FitConfig) -> Callable[[np.ndarray], Sequence[Split]]:
        """Inner folds, given the training rows."""
        if self.ids is None:
            return lambda train: inner_story_splits(
                train, folds=config.inner_folds, trim=config.trim_volumes
            )
        ids, groups = self.ids, self.groups
        return lambda train: inner_item_splits(
            train, ids, groups, folds=config.inner_folds, seed=config.seed
        )

    def halves(self, config: FitConfig) -> tuple[np.ndarray, np.ndarray]:
        """Two halves: layers are chosen on one and scored on the other."""
        if self.ids is None:
            return halves_of_story(self.count, config.trim_volumes)
        return halves_of_items(self.ids, self.groups, seed=config.seed)

    def orders(self, config: FitConfig) -> np.ndarray | None:
        """Row orders of the permutation null of encoding models."""
        if config.permutations == 0:
            return None
        if self.ids is not None:
            return item_orders(
                self.ids,
                permutations=config.permutations,
                seed=config.seed,
                within=None if self.side is None else [*self._sides(self.side)],
            )
        if not config.shifts:
            return self._blocks(config, None)
        return story_orders(
            self.count,
            permutations=config.permutations,
            minimum=max(config.delays) + config.trim_volumes,
            seed=config.seed,
        )

    def resamples(self, config: FitConfig) -> np.ndarray | None:
        """How often resamples of the stimuli draw each sample, (bootstrap, sample)."""
        if config.bootstraps == 0:
            return None
        drawn = {"bootstraps": config.bootstraps, "seed": config.seed}
        if self.ids is None:
            return story_resamples(self.count, block=config.block, **drawn)
        return item_resamples(self.ids, self.groups, **drawn)

    @staticmethod
    def _sides(side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each side: test responses, of more repeats, are exchanged among themselves."""
        return np.flatnonzero(side == "train"), np.flatnonzero(side == "test")

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
            side=None if self.side is None else self.side[kept],
        )


def features_of_items(features: Store, stimuli: StimulusSet) -> tuple[np.ndarray, np.ndarray]:
    """Features of what responses answer, and its ids; the mean over an item's stimuli.

    Raises
    ------
    IdError
        Features of unknown stimuli, or (with items) not of all stimuli.
    """
    values, ids = features["features"], features["stimulus_id"]
    if stimuli.item is None:
        return values, ids
    rows = align(ids, stimuli.ids, where=f"features of data set '{stimuli.name}'")
    items, member = np.unique(stimuli.item, return_inverse=True)
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(items.size))
    counts = np.diff([*starts, order.size])
    sums = np.add.reduceat(values[rows[order]], starts, axis=0, dtype=np.float64)
    return (sums / counts[:, None]).astype(values.dtype), items


def _of_items(
    stimuli: StimulusSet, values: np.ndarray | None, items: np.ndarray
) -> np.ndarray | None:
    """Values of stimuli (their group, or their side of the split) for items by id."""
    if values is None:
        return None
    named = stimuli.ids if stimuli.item is None else stimuli.item
    unique, first = np.unique(named, return_index=True)
    place = align(unique, np.unique(items), require_all=False)
    return np.asarray(values[first[place]][np.unique(items, return_inverse=True)[1]])
