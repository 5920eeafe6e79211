"""Load one checkpoint of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convergent.errors import ModelError, WeightsError
from convergent.models.baselines import load_baseline
from convergent.models.manifest import WeightsManifest, verify
from convergent.models.source import LoadedBaseline, LoadedModel, LoadRequest, Options, source
from convergent.study.types import Checkpoint, Model

_DTYPES = ("float32", "bfloat16", "float16")


def load(
    model: Model,
    checkpoint: Checkpoint,
    manifest: WeightsManifest | None,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    full_check: bool = False,
    layers: Sequence[str] | None = None,
    offload: str = "none",
    head: bool = False,
) -> LoadedModel | LoadedBaseline:
    """Load a checkpoint, after checking that its files are those of the manifest.

    Parameters
    ----------
    model, checkpoint : Model, Checkpoint
    manifest : WeightsManifest or None
        None for controls only, which have no weights.
    device : str
        ``cpu``, ``cuda`` or ``cuda:<n>``, already resolved.
    dtype : {"float32", "bfloat16", "float16"}, optional
        The model's declared precision unless given.
    full_check : bool
        Hash the weights again (see `verify`); sizes and times of change otherwise.
    layers : sequence of str, optional
        The only layers that will be read. Weights that their outputs do not depend on are left
        in the file where its format and the network allow it: parameters stay on the meta
        device, or the modules that hold them are replaced. ``LoadedModel.reading`` says how
        much was read; the outputs are the same bytes.
    offload : {"none", "cpu"}
        Whether weights that fit on no GPU may wait in host memory (transformers only).
    head : bool
        Load a causal language model with the head that predicts the next token; the paths of
        its layers are then other ones. Networks of other sources always have their heads.

    Returns
    -------
    LoadedModel or LoadedBaseline

    Raises
    ------
    WeightsError
        If the manifest is missing, of another checkpoint, or its files changed.
    ModelError
        If the row's options, precision or architecture are wrong.
    DeviceError
        If the weights fit neither on the device nor on the GPUs of the machine.
    """
    where = f"model '{model.key}', checkpoint '{checkpoint.name}'"
    if model.is_control:
        return load_baseline(model, checkpoint)
    if manifest is None:
        raise WeightsError("no weights manifest", where=where, fix="run the weights step first")
    if (manifest.model, manifest.checkpoint) != (model.key, checkpoint.name):
        raise WeightsError(
            f"the manifest belongs to {manifest.where}",
            where=where,
            fix="pass this checkpoint's own manifest",
        )
    precision = dtype or model.precision
    if precision not in _DTYPES:
        raise ModelError(
            f"unknown precision '{precision}'", where=where, fix=f"one of {', '.join(_DTYPES)}"
        )
    verify(manifest, full=full_check)
    kind = source(model.source)
    options = Options(model, kind.options)
    request = LoadRequest(
        model=model,
        checkpoint=checkpoint,
        options=options,
        weight_files=manifest.weight_files,
        device=device,
        dtype=precision,
        layers=None if layers is None else tuple(layers),
        offload=offload,
        head=head,
    )
    loaded = kind.load(request, Path(manifest.directory) if manifest.directory else None)
    return replace(loaded, seed=options.integer("seed", minimum=0)) if "seed" in options else loaded
