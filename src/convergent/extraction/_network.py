"""Forward passes of a network over a plan: every layer's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convergent.errors import LayerError, ModelError
from convergent.extraction._batches import run_in_batches
from convergent.extraction._hooks import find_modules, read_modules
from convergent.extraction._plan import Plan
from convergent.extraction._pooling import Segments, checked_output, pool
from convergent.models import Encoding, LoadedModel
from convergent.study._types import Layer, Model

Transform = Callable[[np.ndarray], np.ndarray]


class LayerReader:
    """Runs inputs through a network and pools the layers' outputs.

    Parameters
    ----------
    model : Model
    layers : sequence of Layer
    loaded : LoadedModel
    skip : int
        Leading tokens that a mean leaves out.
    where : str
        For error messages.

    Raises
    ------
    LayerError
        If a module does not exist, or holds parameters that no training has touched.
    """

    def __init__(
        self, model: Model, layers: Sequence[Layer], loaded: LoadedModel, skip: int, where: str
    ) -> None:
        self._model, self._loaded, self._skip, self._where = model, loaded, skip, where
        self._widths = {layer.name: layer.width for layer in layers}
        self._modules = find_modules(loaded.module, list(self._widths), where)
        for name in self._widths:
            untrained = [fresh for fresh in loaded.fresh if fresh.startswith(f"{name}.")]
            if untrained:
                raise LayerError(
                    f"parameter '{untrained[0]}' is not in the weights, it would be random",
                    where=f"{where}, layer '{name}'",
                    fix="leave the layer out",
                )

    def read(
        self, items: np.ndarray | Sequence[Encoding], segments: Segments | None
    ) -> dict[str, np.ndarray]:
        """One forward pass.

        Returns
        -------
        dict of str to ndarray of float32, shape (row, feature)
        """
        batch = self._loaded.prepare(items)
        pooled: dict[str, np.ndarray] = {}

        def keep(name: str, output: Any) -> None:
            tensor = checked_output(
                output,
                layer=name,
                width=self._widths[name],
                layout=self._model.layout,
                items=batch.size,
                tokens=None if batch.mask is None else int(batch.mask.shape[1]),
                tuple_outputs=self._loaded.tuple_outputs,
                where=self._where,
            )
            pooled[name] = pool(
                tensor,
                layout=self._model.layout,
                pooling=self._model.pooling,
                mask=batch.mask,
                skip=self._skip,
                segments=segments,
            )

        read_modules(self._modules, lambda: self._loaded.forward(batch), keep, self._where)
        return pooled

    def read_all(
        self, plan: Plan, stimuli: int, batch_size: int, transform: Transform
    ) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Every input of a plan, batch by batch.

        Parameters
        ----------
        plan : Plan
        stimuli : int
            Number of result rows.
        batch_size : int
        transform : callable
            Applied to each batch's rows of each layer (projection).

        Returns
        -------
        features : dict of str to ndarray of float32, shape (stimulus, feature)
        pooled_width : dict of str to int
        """
        features: dict[str, np.ndarray] = {}
        widths: dict[str, int] = {}
        seen = np.zeros(stimuli, dtype=bool)

        def process(start: int, stop: int) -> None:
            rows, segments = plan.rows(start, stop)
            for name, values in self.read(plan.items(start, stop), segments).items():
                if widths.setdefault(name, values.shape[1]) != values.shape[1]:
                    raise LayerError(
                        f"{values.shape[1]} features in one batch, {widths[name]} in another",
                        where=f"{self._where}, layer '{name}'",
                        fix="use a pooling other than flatten",
                    )
                values = transform(values)
                if name not in features:
                    features[name] = np.empty((stimuli, values.shape[1]), dtype=np.float32)
                features[name][rows] = values
            seen[rows] = True

        with np.errstate(invalid="ignore", over="ignore"):
            run_in_batches(plan.number, batch_size, process, self._where)
        assert seen.all(), "a stimulus was never read"
        return features, widths

    def check_causal(self, plan: Plan, words: Sequence[str]) -> None:
        """Check that words which come later leave earlier vectors alone.

        The first window is read whole and up to its middle; the shared words must agree.

        Raises
        ------
        ModelError
            If they do not: the row calls a bidirectional model causal, and every word's
            vector would know the future.
        """
        text = self._loaded.text
        first = next(window for window in plan.windows if window.first == 0)
        half = first.stop // 2
        if text is None or half < 2:
            return
        results = []
        for stop in (first.stop, half):
            (encoding,) = text.encode_words([words[:stop]])
            token = np.flatnonzero(np.array(encoding.word) >= 0)
            # The last word's tokens may depend on what follows it; leave it out.
            token = token[np.array(encoding.word)[token] < half - 1]
            segments = Segments(np.zeros_like(token), token, np.arange(len(token)))
            results.append(self.read([encoding], segments))
        tolerance = 1e-4 if self._loaded.dtype == "float32" else 5e-2
        for name, whole in results[0].items():
            difference = np.linalg.norm(whole - results[1][name])
            # written so that NaN, which is reported later, passes
            if difference > tolerance * np.linalg.norm(whole):
                raise ModelError(
                    "the row says causal attention, but words change with those that follow",
                    where=f"{self._where}, layer '{name}'",
                    fix="write bidirectional into the attention column",
                )
