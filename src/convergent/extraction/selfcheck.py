"""What every extraction checks of itself before its stores are written.

The network: the same input twice gives the same features, and so does an input alone and among
others. The inputs: how many texts were cut or have unknown tokens, how many images show nothing.
What the layers gave is counted in `convergent.extraction.rows`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convergent.brains.types import StimulusSet
from convergent.errors import ConvergentError, LayerError

if TYPE_CHECKING:
    import torch

    from convergent.extraction.batches import Batches, Plan
    from convergent.models import LoadedModel

# Largest difference of two ways to compute a feature, over the layer's largest feature. In half
# precision, what rounding alone does: eight steps of the type.
TOLERANCE = {"float32": 1e-5, "float16": 8 * 2.0**-10, "bfloat16": 8 * 2.0**-7}

# What a network draws may matter in few passes only (a block that is left out now and then): so
# often is an input read again if numbers are drawn at all.
_TRIES = 16

# read(items, segments, whole=...): one pass, rows by layer
Read = Callable[..., Mapping[str, np.ndarray]]


@dataclass
class Agreement:
    """How far two ways to compute one layer's features were apart.

    Attributes
    ----------
    inputs : int
        That were read again.
    repeat, together : float
        Largest difference between two passes over one input, and between the input alone and in
        its batch, over the layer's largest feature.
    """

    inputs: int = 0
    repeat: float = 0.0
    together: float = 0.0


def first_pass(plan: Plan, read: Read, where: str) -> Mapping[str, np.ndarray]:
    """Read the longest input alone, with a network that has read nothing else."""
    from convergent.extraction.batches import run_batches

    found: dict[str, np.ndarray] = {}

    def process(start: int, stop: int) -> None:
        with reads_alone(where):
            found.update(read(plan.items(start, stop), plan.rows(start, stop)[1], whole=False))

    run_batches([(0, 1)], process, where)
    return found


class SelfCheck:
    """Reads a few inputs again, alone, as soon as their batch has been read.

    Of at most three batches (the first, the one with most padding, the last) the input with most
    padding is read once more on its own, and of the first batch also a middle one and, after them,
    the longest, which was also read before anything else; if the network draws random numbers, the
    first input that is read again is read many times. The rows compared are those that are about to
    be stored, and which inputs are read again does not depend on the layers of a job.

    Parameters
    ----------
    plan : Plan
    batches : list of (int, int)
    loaded : LoadedModel
    read : callable
        ``read(items, segments, whole=...)``, see `convergent.extraction.passes.LayerReader.read`.
    fresh : mapping of str to ndarray
        What `first_pass` gave.
    where : str
        For error messages.

    Attributes
    ----------
    agreement : dict of str to Agreement
        By layer.
    tolerance : float
    """

    def __init__(
        self,
        plan: Plan,
        batches: Batches,
        loaded: LoadedModel,
        read: Read,
        fresh: Mapping[str, np.ndarray],
        where: str,
    ) -> None:
        self._fresh = fresh
        self._plan, self._loaded, self._read, self._where = plan, loaded, read, where
        self.tolerance = TOLERANCE[loaded.dtype]
        self.agreement: dict[str, Agreement] = {}
        padding = [int(plan.lengths[a] - plan.lengths[b - 1]) for a, b in batches]
        chosen = {0, int(np.argmax(padding)), len(batches) - 1}
        # Inputs are sorted, the longest first. Networks may treat lengths between otherwise than
        # the shortest, and may not be the same after a short one.
        start, stop = batches[0]
        self._waiting = {start, (start + stop - 1) // 2}
        self._waiting |= {batches[number][1] - 1 for number in chosen}

    def __call__(self, start: int, stop: int, found: Mapping[str, np.ndarray]) -> None:
        """Check what one pass gave.

        Parameters
        ----------
        start, stop : int
            Its inputs.
        found : mapping of str to ndarray of float32, shape (row, feature)

        Raises
        ------
        LayerError
            If an input gives other features the second time, or alone; with the module where
            randomness begins.
        """
        for index in sorted(self._waiting, reverse=True):
            if start <= index < stop:
                self._check(index, start, found)
                self._waiting.discard(index)

    def _check(self, index: int, start: int, found: Mapping[str, np.ndarray]) -> None:
        first = not self.agreement
        before = len(self._plan.rows(start, index)[0]) if index > start else 0
        state = _generators()
        alone = self._alone(index, whole=first)
        drawn = _generators() != state
        times = _TRIES if first and drawn else 0
        again = [self._alone(index) for _ in range(times)]
        if index == 0 and self._fresh:
            again.append(self._fresh)
        for name, rows in alone.items():
            together = found[name][before : before + len(rows)]
            scale = _largest(found[name], rows)
            repeat = max((_difference(rows, other[name], scale) for other in again), default=0.0)
            apart = _difference(rows, together, scale)
            if repeat <= self.tolerance and apart > self.tolerance:
                # what differs by chance need not do so each time
                repeat = _difference(rows, self._alone(index)[name], scale)
            if repeat > self.tolerance:
                raise self._random(index, name, repeat)
            if apart > self.tolerance:
                raise self._mixing(index, name, apart, rows)
            agreement = self.agreement.setdefault(name, Agreement())
            agreement.inputs += 1
            agreement.repeat = max(agreement.repeat, repeat)
            agreement.together = max(agreement.together, apart)

    def _alone(self, index: int, *, whole: bool = False) -> Mapping[str, np.ndarray]:
        _, segments = self._plan.rows(index, index + 1)
        with reads_alone(self._where):
            return self._read(self._plan.items(index, index + 1), segments, whole=whole)

    def _random(self, index: int, layer: str, difference: float) -> LayerError:
        module = first_random(self._loaded, self._plan.items(index, index + 1))
        begins = f"; the randomness begins in {module}" if module else ""
        fix = (
            "write seed=<number> into the preprocessing column, so that every input is read alone "
            "with the same draw; of a masked autoencoder mask_ratio=0 (transformers)"
        )
        if self._loaded.seed is not None:
            begins += f", although seed={self._loaded.seed} seeds every pass"
            fix = "leave the model out"
        return LayerError(
            f"two passes over one input differ by {difference:.2g} of the layer's largest "
            f"feature{begins}",
            where=f"{self._where}, layer '{layer}'",
            fix=fix,
        )

    def _mixing(self, index: int, layer: str, difference: float, alone: np.ndarray) -> LayerError:
        what = f"by {difference:.2g} of the layer's largest feature"
        place = f"{self._where}, layer '{layer}'"
        if self._padding_alone(index, layer, alone):
            return LayerError(
                f"a text in a batch with longer ones, padded, differs from the text alone {what}",
                where=place,
                fix="write batch=equal into the preprocessing column: only texts of one length "
                "then share a pass, without padding",
            )
        return LayerError(
            f"an input differs {what} when others share its pass",
            where=place,
            fix="write batch=one into the preprocessing column: every input is then read alone",
        )

    def _padding_alone(self, index: int, layer: str, alone: np.ndarray) -> bool:
        """Whether an input keeps its features next to another of its length."""
        if self._plan.images is not None:
            return False
        others = np.flatnonzero(self._plan.lengths == self._plan.lengths[index])
        other = int(next((one for one in others if one != index), index))
        encodings = [self._plan.items(one, one + 1)[0] for one in (index, other)]
        if self._plan.windows:
            from convergent.extraction.batches import segments_of

            windows = [self._plan.windows[one] for one in (index, other)]
            segments, _ = segments_of(windows, encodings)
        else:
            segments = None
        pair = self._read(encodings, segments, whole=False)[layer]
        return _difference(alone, pair[: len(alone)], _largest(pair)) <= self.tolerance


@contextmanager
def reads_alone(where: str) -> Iterator[None]:
    """Tell a network that fails on a single input, each in its own way, by the model's name."""
    from convergent.extraction.batches import out_of_memory

    try:
        yield
    except Exception as error:
        if isinstance(error, ConvergentError) or out_of_memory(error):
            raise
        first = (str(error).strip().splitlines() or [""])[0]
        raise LayerError(
            f"an input can't be read alone ({type(error).__name__}: {first})",
            where=where,
            fix="leave the model out: a network that needs others in a batch mixes them",
        ) from error


def _generators() -> tuple[object, ...]:
    """States of the generators that networks draw from."""
    import torch

    _, numbers, place, *_ = np.random.get_state()  # noqa: NPY002
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = [each.numpy().tobytes() for each in (torch.get_rng_state(), *devices)]
    return (*states, np.asarray(numbers).tobytes(), place, random.getstate())


def _largest(*arrays: np.ndarray) -> float:
    return max(
        (float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) for array in arrays), default=0.0
    )


def _difference(one: np.ndarray, other: np.ndarray, scale: float) -> float:
    """Largest difference over the largest feature; infinite where only one is a number."""
    finite = np.isfinite(one)
    if (finite != np.isfinite(other)).any():
        return float("inf")
    apart = float(np.abs(one - other, where=finite, out=np.zeros_like(one)).max(initial=0.0))
    return apart / scale if apart else 0.0


def first_random(loaded: LoadedModel, items: Any) -> str:
    """Name the module whose output is the first to differ between passes over one input.

    Parameters
    ----------
    loaded : LoadedModel
    items : ndarray of uint8, shape (item, y, x, 3), or sequence of Encoding

    Returns
    -------
    str
        Path and class; empty if all modules agree.
    """
    batch = loaded.prepare(items)
    first, *others = (_outputs(loaded, batch) for _ in range(1 + _TRIES))
    kinds = {path: type(part).__name__ for path, part in loaded.module.named_modules()}
    places = [
        place
        for other in others
        for place, ((path, one), (path_, two)) in enumerate(zip(first, other, strict=False))
        if path != path_ or _apart(one, two)
    ]
    if not places:
        return ""
    path, _ = first[min(places)]
    return f"module '{path}' ({kinds[path]})" if path else kinds[path]


# Of each tensor: its shape, a sum with unequal weights, and the sum of its sizes.
_Outline = tuple[tuple[tuple[int, ...], float, float], ...]


def _outputs(loaded: LoadedModel, batch: Any) -> list[tuple[str, _Outline]]:
    """Outlines of what all modules give, in the order in which they end."""
    from convergent.models.layers import tensors_in

    ended: list[tuple[str, _Outline]] = []

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, _arguments: Any, output: Any) -> None:
            ended.append((path, tuple(_outline(each) for each in tensors_in(output))))

        return hook

    handles = [
        part.register_forward_hook(keep(path)) for path, part in loaded.module.named_modules()
    ]
    try:
        loaded.forward(batch)
    # Parts behind the layers may have been left in the file.
    except Exception:
        if not ended:
            raise
    finally:
        for handle in handles:
            handle.remove()
    return ended


def _outline(tensor: torch.Tensor) -> tuple[tuple[int, ...], float, float]:
    import torch

    flat = torch.nan_to_num(tensor.detach().float()).flatten()
    weights = torch.cos(torch.arange(flat.numel(), dtype=torch.float32, device=flat.device))
    return tuple(tensor.shape), float((flat * weights).sum()), float(flat.abs().sum())


def _apart(one: _Outline, other: _Outline) -> bool:
    return len(one) != len(other) or any(
        shape != shape_ or abs(mixed - mixed_) > 1e-6 * max(size, size_)
        for (shape, mixed, size), (shape_, mixed_, size_) in zip(one, other, strict=True)
    )


# An image with so many of its values at an end of the range is saturated.
_SATURATED = 0.95


class Inputs:
    """What is wrong with the stimuli as a model reads them.

    Parameters
    ----------
    stimuli : StimulusSet
    truncated, unknown : int
        Texts that were cut; texts or words with unknown tokens.

    Attributes
    ----------
    blank, saturated : ndarray of bool, shape (stimulus,)
        Images of one value; images with 95 % of their values at 0 or 255.
    """

    def __init__(self, stimuli: StimulusSet, truncated: int = 0, unknown: int = 0) -> None:
        self._stimuli, self._truncated, self._unknown = stimuli, truncated, unknown
        self.blank, self.saturated = np.zeros((2, len(stimuli)), dtype=bool)
        self._contents: dict[int, bytes | str] = {}

    def look(self, rows: np.ndarray, images: np.ndarray) -> None:
        """Take the images of one batch, uint8 (item, y, x, 3)."""
        for row, image in zip(rows, images, strict=True):
            self.blank[row] = image.min() == image.max()
            ends = np.count_nonzero(image == 0) + np.count_nonzero(image == 255)
            self.saturated[row] = ends >= _SATURATED * image.size

    def counts(self) -> dict[str, int]:
        """Number of stimuli, and of those that were found wanting."""
        return {
            "stimuli": len(self._stimuli),
            "unknown": self._unknown,
            "truncated": self._truncated,
            "blank": int(self.blank.sum()),
            "saturated": int(self.saturated.sum()),
        }

    def contents(self, rows: Sequence[int]) -> list[bytes | str]:
        """What stimuli show or say, to tell which of them are the same."""
        new = [row for row in rows if row not in self._contents]
        for first in range(0, len(new), 64):
            some = new[first : first + 64]
            if self._stimuli.images is not None:
                pictures = self._stimuli.images[np.array(some)]
                found = [hashlib.sha256(image.tobytes()).digest() for image in pictures]
                self._contents.update(zip(some, found, strict=True))
            elif self._stimuli.texts is not None:
                self._contents.update((row, self._stimuli.texts[row]) for row in some)
        return [self._contents.get(row, str(row)) for row in rows]

    def several(self) -> bool:
        """Whether any two stimuli differ."""
        first = self.contents([0])
        for start in range(1, len(self._stimuli), 64):
            rows = range(start, min(start + 64, len(self._stimuli)))
            if set(self.contents(rows)) - set(first):
                return True
        return False
