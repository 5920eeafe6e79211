"""Forward passes of a network over a plan: every layer's rows."""

from __future__ import annotations

import difflib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from convergent.errors import ConvergentError, LayerError, ModelError
from convergent.extraction.batches import Batches, Plan, run_batches
from convergent.extraction.pooling import Segments, checked_output, pool
from convergent.extraction.rows import Collected
from convergent.extraction.selfcheck import Inputs, SelfCheck, reads_alone
from convergent.extraction.sizing import Cost, peak_bytes
from convergent.models import Batch, Encoding, LoadedModel
from convergent.names import layer_place
from convergent.study.types import Layer, Model

log = logging.getLogger(__name__)


class _StopForwardError(Exception):
    """Everything asked for has been read; the rest of the pass would be wasted."""


def find_modules(module: nn.Module, names: Sequence[str], where: str) -> dict[str, nn.Module]:
    """Look up the modules of layers, by path and whatever the run.

    Raises
    ------
    LayerError
        If a path does not exist, with the closest that do.
    """
    known = dict(module.named_modules(remove_duplicate=False))
    for name in names:
        path, _ = layer_place(name)
        if path not in known or not path:
            close = difflib.get_close_matches(path, list(known), n=5, cutoff=0.4)
            children = [child for child, _ in module.named_children()]
            raise LayerError(
                f"the model has no module '{path}'",
                where=where,
                fix=f"close paths: {', '.join(close)}" if close else f"top: {', '.join(children)}",
            )
    return {name: known[layer_place(name)[0]] for name in names}


@contextmanager
def _hooked(
    modules: Mapping[str, nn.Module],
    read: Callable[[str, Any], None],
    fired: set[str],
    runs: Counter[str],
    whole: bool,
) -> Iterator[None]:
    def make(name: str) -> Callable[..., None]:
        wanted = layer_place(name)[1] or 0

        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            runs[name] += 1
            if runs[name] != wanted + 1:
                return
            # Read at once: operations that follow may overwrite the tensor in place.
            read(name, output)
            fired.add(name)
            if len(fired) == len(modules) and not whole:
                raise _StopForwardError

        return hook

    handles = [module.register_forward_hook(make(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def read_modules(
    modules: Mapping[str, nn.Module],
    forward: Callable[[], Any],
    read: Callable[[str, Any], None],
    where: str,
    *,
    whole: bool = False,
) -> None:
    """Run a forward pass until each layer has been read.

    Parameters
    ----------
    modules : mapping of str to Module
        By the layer's name.
    forward : callable
        Starts the pass.
    read : callable
        ``read(name, output)`` is called as soon as a module has run.
    where : str
        For the error message.
    whole : bool
        Go on to the end of the pass, as far as weights are there, and refuse a module that runs
        again although its layer does not say which run is meant.

    Raises
    ------
    LayerError
        If the pass ends and a module has not run, or not so often.
    """
    fired: set[str] = set()
    runs: Counter[str] = Counter()
    with _hooked(modules, read, fired, runs, whole):
        try:
            forward()
        except _StopForwardError:
            return
        # Parts behind the last layer may have been left in the file: the sketch that said so has
        # counted the runs too (`convergent.models.state.needed`).
        except Exception as error:
            if not whole or len(fired) < len(modules) or isinstance(error, ConvergentError):
                raise
            log.debug("%s: behind the layers the pass ends with: %s", where, error)
    for name in modules:
        path, wanted = layer_place(name)
        if runs[name] > 1 and wanted is None:
            raise LayerError(
                f"module '{path}' runs {runs[name]} times in a forward pass",
                where=f"{where}, layer '{name}'",
                fix=f"list the runs that are meant, '{path}@0' to '{path}@{runs[name] - 1}'",
            )
        if name not in fired and runs[name]:
            raise LayerError(
                f"module '{path}' runs {runs[name]} times in a forward pass, so there is no run "
                f"{wanted}",
                where=f"{where}, layer '{name}'",
                fix=f"runs are counted from 0: list '{path}@0' to '{path}@{runs[name] - 1}'",
            )
    silent = [name for name in modules if name not in fired]
    if silent:
        raise LayerError(
            f"module {', '.join(map(repr, silent))} did not run in the forward pass",
            where=where,
            fix="list a module that this model uses for its modality",
        )


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
        unit = model.preprocessing.get("normalise") == "yes"
        self._unit = model.layers[-1].name if unit else ""  # sentence encoders scale what they give
        self._modules = find_modules(loaded.module, list(self._widths), where)
        self._check_different()
        for name in self._widths:
            path, _ = layer_place(name)
            untrained = [fresh for fresh in loaded.fresh if fresh.startswith(f"{path}.")]
            if untrained:
                raise LayerError(
                    f"parameter '{untrained[0]}' is not in the weights, it would be random",
                    where=f"{where}, layer '{name}'",
                    fix="leave the layer out",
                )

    def _check_different(self) -> None:
        """Check that no two layers of the row are one run of one module."""
        known = dict(self._loaded.module.named_modules(remove_duplicate=False))
        places: dict[tuple[int, int], str] = {}
        for layer in self._model.layers:
            path, run = layer_place(layer.name)
            if path not in known:
                continue
            other = places.setdefault((id(known[path]), run or 0), layer.name)
            if other != layer.name and {other, layer.name}.intersection(self._widths):
                raise LayerError(
                    f"it is layer '{other}' under another name",
                    where=f"{self._where}, layer '{layer.name}'",
                    fix="list one of the two, or another run of the module",
                )

    def read(
        self,
        items: np.ndarray | Sequence[Encoding],
        segments: Segments | None,
        *,
        whole: bool = False,
    ) -> dict[str, np.ndarray]:
        """One forward pass.

        Parameters
        ----------
        items : ndarray of uint8, shape (item, y, x, 3), or sequence of Encoding
        segments : Segments, optional
        whole : bool
            See `read_modules`.

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
            if name == self._unit:
                size = np.linalg.norm(pooled[name], axis=1, keepdims=True)
                pooled[name] /= np.maximum(size, np.finfo(np.float32).tiny)

        forward = partial(self._loaded.forward, batch)
        read_modules(self._modules, forward, keep, self._where, whole=whole)
        return pooled

    def read_all(
        self, plan: Plan, batches: Batches, collected: Collected, check: SelfCheck, inputs: Inputs
    ) -> None:
        """Every input of a plan, batch by batch.

        Parameters
        ----------
        plan : Plan
        batches : list of (int, int)
        collected : mapping of str to LayerRows
            Takes each layer's rows.
        check : SelfCheck
            Reads a few inputs again before their rows are taken.
        inputs : Inputs
            Looks at every image.
        """

        def process(start: int, stop: int) -> None:
            rows, segments = plan.rows(start, stop)
            items = plan.items(start, stop)
            found = self.read(items, segments)
            check(start, stop, found)
            if isinstance(items, np.ndarray):
                inputs.look(rows, items)
            for name, values in found.items():
                collected[name].add(rows, values)

        with np.errstate(invalid="ignore", over="ignore"):
            run_batches(batches, process, self._where)

    def cost(self, plan: Plan) -> Cost:
        """Measure what one input needs on the way to the row's second layer.

        The second layer and not those of this job: in every job of a model the same passes come
        out. The first may be an embedding; a block after it is like all others, or, in networks
        that shrink images as they go, larger than most.
        """
        probed = self._model.layers[min(1, len(self._model.layers) - 1)].name
        modules = find_modules(self._loaded.module, [probed], self._where)

        def measure(index: int) -> tuple[int, int]:
            bytes_: list[int] = []

            def probe(start: int, stop: int) -> None:
                batch = self._loaded.prepare(plan.items(start, stop))
                with reads_alone(self._where):
                    bytes_.append(peak_bytes(lambda: self._run(modules, batch)))

            run_batches([(index, index + 1)], probe, self._where)
            return int(plan.lengths[index]), bytes_[0]

        # sorted by length: the longest, and one of half its tokens
        half = int(np.searchsorted(-plan.lengths, -(plan.lengths[0] // 2)))
        long = measure(0)
        return Cost.through(measure(min(half, plan.number - 1)), long)

    def _run(self, modules: Mapping[str, nn.Module], batch: Batch) -> None:
        """Run a pass until the modules have run, and keep nothing."""
        read_modules(
            modules, lambda: self._loaded.forward(batch), lambda name, output: None, self._where
        )

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
