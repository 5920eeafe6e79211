"""Features of a checkpoint's layers for a stimulus set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from convergent.brains.types import StimulusSet
from convergent.errors import DataError, LayerError, ModelError
from convergent.extraction.batches import Batches, cut
from convergent.extraction.pooling import check_pooling
from convergent.extraction.rows import (
    ArrayRows,
    Collected,
    LayerFeatures,
    LayerRows,
    LayerSummary,
    OpenRows,
    project,
)
from convergent.extraction.selfcheck import Agreement, Inputs, SelfCheck, first_pass
from convergent.models import LoadedBaseline, LoadedModel, Options
from convergent.study.config import ExtractionLimits
from convergent.study.types import Checkpoint, Layer, Model

BatchSize = int | Literal["auto"]
_LIMITS = ExtractionLimits()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How activations are computed and kept.

    Attributes
    ----------
    batch_size : int or "auto"
        Inputs a forward pass. ``auto``: as many as their activations allow, see `_sizing`;
        the longer the texts, the fewer. Results do not depend on it, within 1e-5.
    memory_gb : float, optional
        GiB for the activations of ``auto``; by device unless given.
    projection : int, optional
        Layers with more features than this are projected to so many.
    projection_seed : int
    context_words : int
        Left context of each word in stories.
    store : {"float32", "float16"}
        Type of the features. A layer that float16 cannot hold fails.
    limits : ExtractionLimits
        Shares of stimuli and features that may be found wanting before a layer fails.
    """

    batch_size: BatchSize = 64
    memory_gb: float | None = None
    projection: int | None = None
    projection_seed: int = 0
    context_words: int = 64
    store: Literal["float32", "float16"] = "float32"
    limits: ExtractionLimits = _LIMITS


def extract(
    model: Model,
    checkpoint: Checkpoint,
    layers: Sequence[Layer],
    stimuli: StimulusSet,
    *,
    loaded: LoadedModel | LoadedBaseline,
    batch_size: BatchSize = 64,
    memory_gb: float | None = None,
    projection: int | None = None,
    projection_seed: int = 0,
    context_words: int = 64,
    store: Literal["float32", "float16"] = "float32",
    limits: ExtractionLimits = _LIMITS,
) -> dict[str, LayerFeatures]:
    """Run a model over all stimuli and give its layers' features, in memory.

    Parameters
    ----------
    model, checkpoint, layers, stimuli, loaded
        See `extract_rows`.
    batch_size, memory_gb, projection, projection_seed, context_words, store, limits
        See `Settings`.

    Returns
    -------
    dict of str to LayerFeatures
        By layer name. A layer with NaN or infinity, or beyond a limit, is marked as failed; the
        others are kept.

    Raises
    ------
    LayerError, ModelError, DataError
        See `extract_rows`.
    """
    arrays: dict[str, ArrayRows] = {}

    def open_rows(name: str, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> ArrayRows:
        return arrays.setdefault(name, ArrayRows(shape, dtype))

    settings = Settings(
        batch_size=batch_size,
        memory_gb=memory_gb,
        projection=projection,
        projection_seed=projection_seed,
        context_words=context_words,
        store=store,
        limits=limits,
    )
    found = extract_rows(
        model, checkpoint, layers, stimuli, loaded=loaded, open_rows=open_rows, settings=settings
    )
    return {
        name: LayerFeatures(**vars(summary), features=arrays[name].values)
        for name, summary in found.items()
    }


def extract_rows(
    model: Model,
    checkpoint: Checkpoint,
    layers: Sequence[Layer],
    stimuli: StimulusSet,
    *,
    loaded: LoadedModel | LoadedBaseline,
    open_rows: OpenRows,
    settings: Settings,
) -> dict[str, LayerSummary]:
    """Run a model over all stimuli and hand on its layers' rows as batches give them.

    All layers are read in the same passes, which stop after the last one. One call for
    many layers and many calls for one layer each give the same bytes.

    Parameters
    ----------
    model, checkpoint : Model, Checkpoint
    layers : sequence of Layer
    stimuli : StimulusSet
        For stories, one stimulus is one word; its vector is the mean over the word's tokens
        (or the last of them), read with the words before it and none after it.
    loaded : LoadedModel or LoadedBaseline
        What `convergent.models.load` returned; for ``batch_size="auto"``, with the row's second
        layer among those loaded.
    open_rows : callable
        ``open_rows(layer, shape, dtype)`` gives where a layer's rows are written: an object with
        ``write(rows, values)``, such as a `convergent.store.RowFile`. Rows come in any order.
    settings : Settings

    Returns
    -------
    dict of str to LayerSummary
        By layer name.

    Raises
    ------
    LayerError
        If a module is missing, does not run, runs more than once and the layer does not say which
        run is meant, or has not the declared layout and width; if an input gives other features
        the second time, or alone, than in its batch.
    ModelError
        If the row does not fit the stimuli.
    DataError
        If a stimulus cannot be read.
    """
    where = f"model '{model.key}', checkpoint '{checkpoint.name}', data set '{stimuli.name}'"
    _check(model, layers, stimuli, where)
    collected = {
        layer.name: LayerRows(
            layer,
            stimuli.ids,
            transform=lambda rows: project(rows, settings.projection, settings.projection_seed),
            dtype=np.dtype(settings.store),
            open_rows=open_rows,
            where=where,
        )
        for layer in layers
    }
    if isinstance(loaded, LoadedBaseline):
        _baseline(loaded, layers, stimuli, collected, where)
        inputs = Inputs(stimuli)
        return {layer.name: collected[layer.name].summary(inputs, None) for layer in layers}
    inputs, agreement = _network(model, layers, stimuli, loaded, collected, settings, where)
    return {
        layer.name: collected[layer.name].summary(inputs, settings.limits, agreement[layer.name])
        for layer in layers
    }


def _check(model: Model, layers: Sequence[Layer], stimuli: StimulusSet, where: str) -> None:
    if model.modality != stimuli.modality:
        raise ModelError(
            f"a {model.modality} model cannot read {stimuli.modality} stimuli",
            where=where,
            fix="leave the model out of this data set",
        )
    if not layers:
        raise LayerError("no layers to read", where=where, fix="fill in the layers column")
    if not len(stimuli):
        raise DataError("no stimuli", where=where, fix="check the data set's reader")


def _network(
    model: Model,
    layers: Sequence[Layer],
    stimuli: StimulusSet,
    loaded: LoadedModel,
    collected: Collected,
    settings: Settings,
    where: str,
) -> tuple[Inputs, dict[str, Agreement]]:
    """Read all layers of a network; gives what was found about stimuli and passes."""
    check_pooling(model, stimuli.design)

    from convergent.extraction.batches import plan_images, plan_story, plan_texts
    from convergent.extraction.passes import LayerReader

    options = Options(model, model.preprocessing)
    skip = options.integer("skip_tokens", int(options.flag("skip_first_token")), minimum=0)
    if options.text("chat", "none") == "user":
        skip = 0  # what a template puts first is in no mean
    reader = LayerReader(model, layers, loaded, skip, where)
    if loaded.text is None:
        plan = plan_images(stimuli, where)
    elif stimuli.design == "items":
        plan = plan_texts(stimuli, loaded.text, skip, where)
    else:
        plan = plan_story(stimuli, loaded.text, model, settings.context_words, where)
    fresh = first_pass(plan, reader.read, where)
    if plan.windows and model.attention == "causal":
        reader.check_causal(plan, stimuli.texts or ())
    together = options.choice("batch", "padded", ("padded", "equal", "one"))
    batches: Batches
    # a draw for several inputs is another one than for each
    if together == "one" or loaded.seed is not None:
        batches = cut(plan.lengths, lambda length: 1)
    elif settings.batch_size == "auto":
        from convergent.extraction.sizing import itemsize, plan_sizes

        sizes = plan_sizes(
            reader.cost(plan),
            device=loaded.device,
            weights=model.parameters * itemsize(loaded.dtype),
            longest=int(plan.lengths[0]),
            memory_gb=settings.memory_gb,
            where=where,
        )
        batches = cut(plan.lengths, sizes, alike=1.0 if together == "equal" else 0.75)
    else:
        number = settings.batch_size
        batches = cut(plan.lengths, lambda length: number, alike=float(together == "equal"))
    check = SelfCheck(plan, batches, loaded, reader.read, fresh, where)
    inputs = Inputs(stimuli, plan.truncated, plan.unknown)
    reader.read_all(plan, batches, collected, check, inputs)
    return inputs, check.agreement


def _baseline(
    loaded: LoadedBaseline,
    layers: Sequence[Layer],
    stimuli: StimulusSet,
    collected: Collected,
    where: str,
) -> None:
    if len(layers) != 1:
        raise LayerError(
            f"baseline '{loaded.name}' has one layer, the row lists {len(layers)}",
            where=where,
            fix="list one layer, under any name",
        )
    (layer,) = layers
    values = loaded.compute(stimuli)
    if values.shape != (len(stimuli), layer.width):
        raise LayerError(
            f"baseline '{loaded.name}' gives {values.shape} (stimulus, feature), "
            f"the row declares width {layer.width}",
            where=f"{where}, layer '{layer.name}'",
            fix=f"set the width to {np.atleast_2d(values).shape[1]}",
        )
    collected[layer.name].add(np.arange(len(stimuli)), values)
