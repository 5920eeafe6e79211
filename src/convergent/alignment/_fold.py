"""The fit of one outer fold: factorise once, then score any number of response columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._factor import Factor, factorise, standardise
from convergent.alignment._scores import pearson_columns, r2_columns
from convergent.alignment._select import InnerFold, select_folds, select_loo
from convergent.alignment._splits import Split
from convergent.errors import DeviceError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ColumnScores:
    """Scores of response columns on one fold.

    Attributes
    ----------
    index, inner_r, r, r2 : ndarray, shape (column,)
    prediction : ndarray of float64, shape (test, column), or None
    """

    index: NDArray[np.int64]
    inner_r: Floats
    r: Floats
    r2: Floats
    prediction: Floats | None = None

    @classmethod
    def join(cls, parts: Sequence[ColumnScores]) -> ColumnScores:
        """Put column batches side by side."""
        predictions = [p.prediction for p in parts if p.prediction is not None]
        return cls(
            np.concatenate([p.index for p in parts]),
            np.concatenate([p.inner_r for p in parts]),
            np.concatenate([p.r for p in parts]),
            np.concatenate([p.r2 for p in parts]),
            np.concatenate(predictions, axis=1) if predictions else None,
        )


@dataclass(frozen=True)
class FoldFit:
    """One outer fold, ready for responses.

    Attributes
    ----------
    split : Split
    factor : Factor
    inner : tuple of InnerFold
        Empty when alpha is chosen by leave-one-out.
    alphas : ndarray, shape (alpha,)
    """

    split: Split
    factor: Factor
    inner: tuple[InnerFold, ...]
    alphas: Floats

    @classmethod
    def prepare(
        cls,
        x: Tensor,
        split: Split,
        inner_splits: Sequence[Split],
        *,
        alphas: Floats,
        scale: bool,
        dtype: torch.dtype,
    ) -> FoldFit:
        """Factorise the features of the fold and of its inner folds.

        Parameters
        ----------
        x : Tensor of float64, shape (sample, feature)
        inner_splits : sequence of Split
            Within ``split.train``; none for leave-one-out.
        """

        def factor(part: Split) -> Factor:
            smallest = float(alphas[0])
            whole = factorise(x[part.train], x[part.test], scale=scale, smallest_alpha=smallest)
            return whole.to(dtype)

        order = np.argsort(split.train)

        def positions(rows: NDArray[np.intp]) -> Tensor:
            found = order[np.searchsorted(split.train, rows, sorter=order)]
            return torch.from_numpy(found).to(x.device)

        inner = tuple(
            InnerFold(factor(s), positions(s.train), positions(s.test)) for s in inner_splits
        )
        return cls(split, factor(split), inner, alphas)

    def score(self, train: Floats, test: Floats, *, keep_prediction: bool = False) -> ColumnScores:
        """Choose alpha on the training responses and score the test responses.

        Parameters
        ----------
        train, test : ndarray of float64, shape (train, column) and (test, column)

        Returns
        -------
        ColumnScores
            Predictions are in the units of the responses.
        """
        scores = self.factor.scores
        y_train, y_test = (torch.from_numpy(v).to(scores.device) for v in (train, test))
        y_train, y_test, mean, sd = standardise(y_train, y_test, scale=True)
        y, truth = y_train.to(scores.dtype), y_test.to(scores.dtype)
        if self.inner:
            index, inner_r = select_folds(self.inner, y, self.alphas)
        else:
            index, inner_r = select_loo(self.factor, y, self.alphas)
        alpha = torch.from_numpy(self.alphas).to(scores.device, scores.dtype)[index]
        prediction = self.factor.predict(scores.T @ y, alpha)
        kept = None
        if keep_prediction:
            kept = (prediction.to(torch.float64) * sd + mean).cpu().numpy()
        return ColumnScores(
            index.cpu().numpy(),
            inner_r.to(torch.float64).cpu().numpy(),
            pearson_columns(prediction, truth).to(torch.float64).cpu().numpy(),
            r2_columns(prediction, truth).to(torch.float64).cpu().numpy(),
            kept,
        )


def in_batches(compute: Callable[[int, int], ColumnScores], count: int, size: int) -> ColumnScores:
    """Score ``count`` columns, ``size`` at a time, halving the batch when memory runs out.

    Parameters
    ----------
    compute : callable
        Scores the columns from a start to a stop.

    Raises
    ------
    DeviceError
        A single column does not fit.
    """
    parts = []
    start = 0
    while start < count:
        stop = min(start + size, count)
        try:
            parts.append(compute(start, stop))
            start = stop
            continue
        except torch.OutOfMemoryError as error:
            if size == 1:
                raise DeviceError(
                    f"out of GPU memory with one target: {error}",
                    where="ridge",
                    fix="use a larger GPU, device: cpu, or project the features",
                ) from error
        size = max(1, size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return ColumnScores.join(parts)
