"""Extraction: from stimuli and weights to one feature store a layer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from convergent.brains import StimulusSet
from convergent.extraction import TOLERANCE, LayerSummary, Settings, extract_rows
from convergent.models import LoadedBaseline, LoadedModel, WeightsManifest
from convergent.pipeline.data import read_stimuli
from convergent.pipeline.weights import load_checkpoint
from convergent.store import RowFile, StoreRequest, require_room, write_store
from convergent.study import Checkpoint, Study, Unit
from convergent.study.resources import features_bytes

log = logging.getLogger(__name__)


def extract(
    study: Study, model: str, checkpoint: str | None, layer: str | None, dataset: str | None
) -> None:
    """Extract the layers of a unit: a layer, a checkpoint or a whole model.

    Each checkpoint is loaded once, and each stimulus set is one pass for all its layers.
    """
    row = study.model(model)
    if dataset is not None:
        study.dataset(dataset)
    wanted: dict[str, dict[str, list[str]]] = {}
    for data, _, check, name in study.members(Unit(model, checkpoint, layer)):
        if dataset in (None, data):
            wanted.setdefault(check, {}).setdefault(data, []).append(name)
    stimuli = {name: read_stimuli(study, name) for per in wanted.values() for name in per}
    scratch = study.scratch()  # whether it can be used is known before weights are read
    if scratch is not None:
        log.info("rows wait for their stores in %s", scratch)
    for check, per_dataset in wanted.items():
        read = {name for names in per_dataset.values() for name in names}
        # automatic batches are sized by a probe of the second layer
        read |= {each.name for each in row.layers[:2]}
        needed = [each.name for each in row.layers if each.name in read]
        loaded, manifest = load_checkpoint(study, model, check, layers=needed)
        # data sets of the same stimuli (single listeners and their average) share a pass
        passes: dict[tuple[str, tuple[str, ...]], list[StimulusSet]] = {}
        for data, names in per_dataset.items():
            passes.setdefault((stimuli[data].digest, tuple(names)), []).append(stimuli[data])
        for (_, layers), sets in passes.items():
            one = _Pass(study, model, study.checkpoint(model, check), manifest, loaded, scratch)
            one.run(layers, sets)


class _Pass:
    """Forward passes of one checkpoint over one stimulus set, and the stores they give."""

    def __init__(
        self,
        study: Study,
        model: str,
        checkpoint: Checkpoint,
        manifest: WeightsManifest | None,
        loaded: LoadedModel | LoadedBaseline,
        scratch: Path | None,
    ) -> None:
        self._study, self._model, self._checkpoint = study, study.model(model), checkpoint
        self._manifest, self._loaded, self._scratch = manifest, loaded, scratch

    def run(self, layers: Sequence[str], sets: Sequence[StimulusSet]) -> None:
        """Write the stores of layers for data sets that have the same stimuli."""
        config = self._study.config.extraction
        if self._scratch is not None:
            declared = [self._study.layer(self._model.key, name) for name in layers]
            size = features_bytes(self._study, declared, len(sets[0]))
            require_room(self._scratch, size, self._about(layers))
        with ExitStack() as files:
            rows: dict[str, RowFile] = {}

            def open_rows(name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> RowFile:
                store = self._path(sets[0].name, name)
                rows[name] = files.enter_context(
                    RowFile(
                        self._scratch or Path(store).parent,
                        shape,
                        dtype,
                        of=f"{self._about([name])} ({store})",
                        scratch=self._scratch is not None,
                    )
                )
                return rows[name]

            found = extract_rows(
                self._model,
                self._checkpoint,
                [self._study.layer(self._model.key, name) for name in layers],
                sets[0],
                loaded=self._loaded,
                open_rows=open_rows,
                settings=Settings(
                    **{name: getattr(config, name) for name in Settings.__dataclass_fields__}
                ),
            )
            for stimuli in sets:
                for name in layers:
                    self._write(stimuli, found[name], rows[name])

    def _about(self, layers: Sequence[str]) -> str:
        named = f"layer '{layers[0]}'" if len(layers) == 1 else f"{len(layers)} layers"
        return f"model '{self._model.key}', checkpoint '{self._checkpoint.name}', {named}"

    def _path(self, dataset: str, layer: str) -> str:
        return self._study.paths.features(dataset, self._model.key, self._checkpoint.name, layer)

    def _write(self, stimuli: StimulusSet, result: LayerSummary, rows: RowFile) -> None:
        keys = {
            "dataset": stimuli.name,
            "model": self._model.key,
            "checkpoint": self._checkpoint.name,
            "layer": result.layer,
        }
        request = StoreRequest.of(self._study, "extract", keys)
        attrs: dict[str, Any] = {
            **request.attrs,
            "status": result.status,
            "reason": result.reason,
            "width": result.width,
            "device": self._study.config.extraction.device,
            "pooled_width": result.pooled_width,
            "projected": result.projected,
            "counted": dict(result.counted),
            "selfcheck": self._selfcheck(result),
            "stimuli_sha256": stimuli.digest,
            "preprocessing": self._model.preprocessing,
            "pooling": self._model.pooling,
            "precision": self._study.config.extraction.precision or self._model.precision,
            **self._weights(),
        }
        if result.status != "ok":
            log.warning("%s: failed: %s", keys, result.reason)
        write_store(
            request.path,
            "features",
            {
                "features": (("stimulus", "feature"), rows),
                "stimulus_id": (("stimulus",), stimuli.ids),
            },
            attrs,
        )

    def _selfcheck(self, result: LayerSummary) -> dict[str, Any]:
        """How inputs shared passes, and how far passes over the same inputs agreed."""
        if result.agreement is None or isinstance(self._loaded, LoadedBaseline):
            return {}
        seed = self._loaded.seed
        return {
            "batch": "one"
            if seed is not None
            else self._model.preprocessing.get("batch", "padded"),
            "seed": seed,
            "tolerance": TOLERANCE[self._loaded.dtype],
            **asdict(result.agreement),
        }

    def _weights(self) -> Mapping[str, str]:
        manifest = self._manifest
        return {
            "weights_sha256": manifest.sha256 if manifest else "",
            "config_sha256": manifest.config_sha256 if manifest else "",
            "revision": manifest.revision if manifest else "",
        }
