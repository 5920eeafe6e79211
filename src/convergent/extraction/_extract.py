"""Features of a checkpoint's layers for a stimulus set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convergent.brains._types import StimulusSet
from convergent.errors import DataError, LayerError, ModelError
from convergent.extraction._features import LayerFeatures, judged
from convergent.extraction._pooling import check_pooling
from convergent.extraction._projection import project
from convergent.models import LoadedBaseline, LoadedModel, Options
from convergent.study._types import Checkpoint, Layer, Model


def extract(
    model: Model,
    checkpoint: Checkpoint,
    layers: Sequence[Layer],
    stimuli: StimulusSet,
    *,
    loaded: LoadedModel | LoadedBaseline,
    batch_size: int = 64,
    projection: int | None = None,
    projection_seed: int = 0,
    context_words: int = 64,
) -> dict[str, LayerFeatures]:
    """Run a model over all stimuli and read layers.

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
        What `convergent.models.load` returned.
    batch_size : int
        Results do not depend on it, within 1e-5.
    projection : int, optional
        Layers with more features than this are projected to so many.
    projection_seed : int
    context_words : int
        Left context of each word in stories.

    Returns
    -------
    dict of str to LayerFeatures
        By layer name. A layer with NaN or infinity is marked as failed; the others are kept.

    Raises
    ------
    LayerError
        If a module is missing, does not run, or has not the declared layout and width.
    ModelError
        If the row does not fit the stimuli.
    DataError
        If a stimulus cannot be read.
    """
    where = f"model '{model.key}', checkpoint '{checkpoint.name}', data set '{stimuli.name}'"
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
    if isinstance(loaded, LoadedBaseline):
        return _baseline(loaded, layers, stimuli, projection, projection_seed, where)
    check_pooling(model, stimuli.design)

    from convergent.extraction._network import LayerReader
    from convergent.extraction._plan import plan_images, plan_story, plan_texts

    options = Options(model, model.preprocessing)
    skip = options.integer("skip_tokens", int(options.flag("skip_first_token")), minimum=0)
    reader = LayerReader(model, layers, loaded, skip, where)
    if loaded.text is None:
        plan = plan_images(stimuli, where)
    elif stimuli.design == "items":
        plan = plan_texts(stimuli, loaded.text, skip, where)
    else:
        plan = plan_story(stimuli, loaded.text, model, context_words, where)
        if model.attention == "causal":
            reader.check_causal(plan, stimuli.texts or ())
    features, widths = reader.read_all(
        plan, len(stimuli), batch_size, lambda rows: project(rows, projection, projection_seed)
    )
    return {
        layer.name: judged(
            layer.name,
            features[layer.name],
            stimuli.ids,
            width=layer.width,
            pooled_width=widths[layer.name],
            projected=widths[layer.name] != features[layer.name].shape[1],
            truncated=plan.truncated,
        )
        for layer in layers
    }


def _baseline(
    loaded: LoadedBaseline,
    layers: Sequence[Layer],
    stimuli: StimulusSet,
    projection: int | None,
    seed: int,
    where: str,
) -> dict[str, LayerFeatures]:
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
    features = project(values, projection, seed)
    return {
        layer.name: judged(
            layer.name,
            features,
            stimuli.ids,
            width=layer.width,
            pooled_width=values.shape[1],
            projected=features.shape != values.shape,
        )
    }
