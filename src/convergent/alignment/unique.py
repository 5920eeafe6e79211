"""Variance that a model explains beyond nuisance regressors, on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment.checks import check_alphas, finite_features
from convergent.alignment.constant import is_constant, mean_of, same_rows, settled
from convergent.alignment.means import mean_defined
from convergent.alignment.ridge.space import standardise
from convergent.alignment.ridge.targets import Streamed, Targets, tiles
from convergent.alignment.scores import pearson_columns, r2_columns
from convergent.alignment.splits import Index, Split, check_splits
from convergent.device import resolve_device
from convergent.errors import DataError, NumericalError

# Eigenvalues below this share of the largest are rounding.
_RANK = 1e-12


@dataclass(frozen=True)
class Smoother:
    """Ridge of the nuisance alone, as a matrix from training to other responses.

    Attributes
    ----------
    left : Tensor, shape (other sample, rank)
    values : Tensor, shape (rank,)
        Squared singular values of the training regressors.
    right : Tensor, shape (rank, training sample)
    """

    left: Tensor
    values: Tensor
    right: Tensor

    @classmethod
    def of(cls, train: Tensor, other: Tensor) -> Smoother:
        """Decompose centred training regressors, (sample, column)."""
        u, s, v = torch.linalg.svd(train, full_matrices=False)
        kept = s.square() > _RANK * s.square().amax().clamp_min(1e-300)
        u, s, v = u[:, kept], s[kept], v[kept]
        return cls(_like(other, (other @ v.T) * s), s.square(), u.T)

    def predict(self, alpha: float, responses: Tensor) -> Tensor:
        """Predict from centred training responses, (other sample, target)."""
        found = self.left @ ((self.right @ responses) / (self.values + alpha)[:, None])
        return _like(self.left, found)

    def residual_root(self, alpha: float, columns: Tensor) -> Tensor:
        """Apply the square root of ``I - N (N'N + alpha)^-1 N'`` to (training sample, column)."""
        # sqrt(alpha / (values + alpha)) is what is left of each direction of the nuisance
        taken = 1.0 - torch.sqrt(alpha / (self.values + alpha))
        return columns - self.right.T @ (taken[:, None] * (self.right @ columns))


@dataclass(frozen=True)
class Extra:
    """What the model adds to the nuisance's prediction, for any of its penalties.

    With penalties a (nuisance N) and b (model X), the joint ridge solution has

        v = (X~'X~ + b)^-1 X~'y~,  X~ = A X,  y~ = A y,  A^2 = I - N (N'N + a)^-1 N',

    and predicts ``C y + (X_other - C X) v`` where C is the smoother of the nuisance alone: the
    nuisance's own prediction, and what the model adds to it.

    Attributes
    ----------
    left : Tensor, shape (other sample, rank)
    values : Tensor, shape (rank,)
    right : Tensor, shape (rank, training sample)
    smoother : Smoother
    alpha : float
    """

    left: Tensor
    values: Tensor
    right: Tensor
    smoother: Smoother
    alpha: float

    @classmethod
    def of(cls, train: Tensor, other: Tensor, smoother: Smoother, alpha: float) -> Extra:
        """Factorise centred training features, given the nuisance's penalty."""
        x = smoother.residual_root(alpha, train)
        rest = other - smoother.predict(alpha, train)
        wide = x.shape[1] > x.shape[0]
        values, basis = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
        kept = values > _RANK * values.amax().clamp_min(1e-300)
        values, basis = values[kept], basis[:, kept]
        if wide:
            return cls(_like(rest, rest @ (x.T @ basis)), values, basis.T, smoother, alpha)
        return cls(_like(rest, rest @ basis), values, basis.T @ x.T, smoother, alpha)

    def project(self, responses: Tensor) -> Tensor:
        """Centred training responses on the factors, (rank, target)."""
        return self.right @ self.smoother.residual_root(self.alpha, responses)

    def predict(self, penalty: Tensor | float, projected: Tensor) -> Tensor:
        """Predict what is added, for one penalty or one a target, (other sample, target)."""
        b = torch.as_tensor(penalty, dtype=projected.dtype, device=projected.device)
        shrunk = projected / (self.values[:, None] + b)
        return _like(self.left, self.left @ shrunk)


def _like(rows: Tensor, product: Tensor) -> Tensor:
    """Give a product of rows that are all the same rows that are all the same."""
    return product[:1].expand_as(product) if same_rows(rows) else product


Floats = NDArray[np.float64]
InnerSplits = Callable[[Index], Sequence[Split]]


@dataclass(frozen=True)
class UniqueScores:
    """What a model adds to nuisance regressors, fold by fold.

    Attributes
    ----------
    unique : ndarray of float64, shape (fold, target)
        R2(nuisance + model) - R2(nuisance), held out: negative where the model adds noise.
    nuisance_r2, joint_r2 : ndarray of float64, shape (fold, target)
        NaN where the target is constant over the test samples.
    partial_r : ndarray of float64, shape (fold, target)
        Correlation of what the nuisance leaves of the held-out responses with what the model
        adds to its prediction.
    inner_unique : ndarray of float64, shape (fold, target)
        The same as ``unique`` over inner folds of the training samples (pooled errors), for
        choosing layers.
    alpha, nuisance_alpha : ndarray of float64, shape (fold, target)
    """

    unique: Floats
    nuisance_r2: Floats
    joint_r2: Floats
    partial_r: Floats
    inner_unique: Floats
    alpha: Floats
    nuisance_alpha: Floats

    def mean(self, name: str) -> Floats:
        """Mean of one of the attributes over folds with a value, (target,)."""
        return mean_defined(getattr(self, name), axis=0)


def fit_unique(
    features: ArrayLike,
    nuisance: ArrayLike,
    responses: ArrayLike | Streamed,
    splits: Sequence[Split],
    *,
    inner_splits: InnerSplits,
    alphas: ArrayLike,
    nuisance_alphas: ArrayLike,
    standardize: bool = True,
    device: str = "cpu",
    tile: int = 4096,
) -> UniqueScores:
    """Fit the nuisance alone and with the model, and score both on held-out samples.

    The nuisance's penalty is chosen for each target by the nuisance alone, over inner folds, and
    kept in the joint fit, where the model's penalty is chosen over the same inner folds. The two
    fits are nested: a model whose penalty goes to infinity leaves the nuisance's prediction
    as it is, so that a model that adds nothing scores about 0. Variance that both can explain is
    the nuisance's. Everything is fitted on training samples only: mean and sd of features and
    nuisance, means of responses, penalties and weights.

    Parameters
    ----------
    features : array_like, shape (sample, feature)
        Finite.
    nuisance : array_like, shape (sample, column)
        Finite; columns that are constant over a training set count for nothing.
    responses : array_like or Streamed, shape (sample, target)
        Finite. Read ``tile`` targets at a time, several times over.
    splits : sequence of Split
    inner_splits : callable
        From the outer training rows to inner folds, as rows of the complete data.
    alphas, nuisance_alphas : array_like
        Positive, increasing penalties of the model and of the nuisance. Each value of the latter
        that a target chooses costs a factorisation of every inner fold.
    standardize : bool
        Scale features to unit training variance (the nuisance always is).
    device : str
        ``cpu`` or ``cuda[:index]``.
    tile : int
        Targets in memory at once. Memory for the rest is that of one factorisation, (sample,
        sample) or (sample, feature), and of a number a target and penalty.

    Returns
    -------
    UniqueScores

    Raises
    ------
    DataError
        Features, nuisance and responses differ in samples.
    NumericalError
        NaN or infinity.
    ConfigError
        Bad penalties or folds.
    DeviceError
        The device does not exist.

    References
    ----------
    de Heer et al., J. Neurosci. 37 (2017) 6539-6557 (variance partitioning); Lovell, J. Am. Stat.
    Assoc. 58 (1963) 993-1010 (partialling out; here with a penalty); Nunez-Elizalde, Huth &
    Gallant, NeuroImage 197 (2019) 482-492 (a penalty for each feature space).
    """
    place = torch.device(resolve_device(device))
    grids = check_alphas(alphas), check_alphas(nuisance_alphas)
    tables = [_finite(v, what) for v, what in ((features, "features"), (nuisance, "nuisance"))]
    y = Targets(responses, missing="error", where="unique variance, responses")
    if len({y.samples, *map(len, tables)}) != 1:
        raise DataError(
            f"features {tables[0].shape}, nuisance {tables[1].shape} and responses of {y.samples} "
            "samples",
            where="unique variance",
            fix="join all three by id or time first",
        )
    check_splits(splits, y.samples)
    x, n = (torch.from_numpy(values).to(place) for values in tables)
    folds = []
    for split in splits:
        inner = inner_splits(split.train)
        check_splits(inner, y.samples, within=split.train)
        train = torch.from_numpy(split.train).to(place)
        fold = _Fold(
            standardise(x[train], x, scale=standardize)[1],
            standardise(n[train], n, scale=True)[1],
            _Responses(y, tile, place),
        )
        folds.append(fold.scores(split, inner, *grids))
    stacked = {key: np.stack([fold[key] for fold in folds]) for key in folds[0]}
    return UniqueScores(**{field.name: stacked[field.name] for field in fields(UniqueScores)})


def _finite(values: ArrayLike, what: str) -> Floats:
    try:
        return finite_features(values).astype(np.float64)
    except (DataError, NumericalError) as error:
        raise type(error)(error.what, where=f"unique variance, {what}", fix=error.fix) from error


@dataclass(frozen=True)
class _Responses:
    """Responses in tiles of targets."""

    targets: Targets
    tile: int
    device: torch.device

    def of(self, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Places among ``wanted`` (increasing target numbers), and their responses.

        Yields
        ------
        places : Tensor of int, shape (some,)
        responses : Tensor of float64, shape (sample, some)
        """
        for start, stop in tiles(self.targets.count, self.tile):
            first, last = torch.searchsorted(wanted, wanted.new_tensor([start, stop])).tolist()
            if first == last:
                continue
            values, _ = self.targets.read(start, stop, self.device)
            rows = values.index_select(0, wanted[first:last] - start)
            yield torch.arange(first, last, device=self.device), settled(rows.T.double())


@dataclass(frozen=True)
class _Part:
    """Features and nuisance of one split, centred by its training rows."""

    x: tuple[Tensor, Tensor]
    train: Tensor
    test: Tensor
    smoother: Smoother

    def divide(self, responses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Training responses less their mean, test responses, and that mean."""
        train, test = settled(responses[self.train]), settled(responses[self.test])
        mean = mean_of(train)
        return train - mean, test, mean[0]


@dataclass(frozen=True)
class _Fold:
    """One outer fold: standardised features and nuisance, and responses."""

    x: Tensor
    n: Tensor
    y: _Responses

    def scores(
        self, split: Split, inner: Sequence[Split], alphas: Floats, nuisance_alphas: Floats
    ) -> dict[str, Floats]:
        parts, outer = [self._part(one) for one in inner], self._part(split)
        alone, none = self._alone(parts, nuisance_alphas)
        best, first = alone.min(0)
        values = {
            key: torch.full_like(best, torch.nan)
            for key in ("alpha", "inner_unique", "nuisance_r2", "joint_r2", "partial_r")
        }
        for k in sorted(set(first.tolist())):
            here, a = torch.nonzero(first == k)[:, 0], float(nuisance_alphas[k])
            joint = self._joint(parts, here, a, alphas)
            error, chosen = joint.min(0)
            values["alpha"][here] = torch.from_numpy(alphas).to(joint)[chosen]
            left = none[here]
            gained = (best[here] - error) / torch.where(left > 0, left, 1.0)
            values["inner_unique"][here] = torch.where(left > 0, gained, torch.nan)
            self._held_out(outer, here, a, values)
        values["unique"] = values["joint_r2"] - values["nuisance_r2"]
        values["nuisance_alpha"] = torch.from_numpy(nuisance_alphas).to(best)[first]
        return {key: value.cpu().numpy() for key, value in values.items()}

    def _part(self, split: Split) -> _Part:
        train, test = (torch.from_numpy(r).to(self.x.device) for r in (split.train, split.test))
        x, n = self.x[train], self.n[train]
        inside, outside = standardise(x, self.x[test], scale=False)
        return _Part(
            (inside, outside),
            train,
            test,
            Smoother.of(*standardise(n, self.n[test], scale=False)),
        )

    def _alone(self, parts: Sequence[_Part], alphas: Floats) -> tuple[Tensor, Tensor]:
        """Sums over inner folds of errors of the nuisance, (alpha, target), and of the mean."""
        every = torch.arange(self.y.targets.count, device=self.x.device)
        errors = self.x.new_zeros(len(alphas), len(every))
        none = self.x.new_zeros(len(every))
        for places, responses in self.y.of(every):
            for part in parts:
                train, test, mean = part.divide(responses)
                none[places] += (test - mean).square().mean(0)
                for k, alpha in enumerate(alphas.tolist()):
                    left = test - mean - part.smoother.predict(alpha, train)
                    errors[k, places] += left.square().mean(0)
        return errors, none

    def _joint(self, parts: Sequence[_Part], here: Tensor, alpha: float, alphas: Floats) -> Tensor:
        """Errors of nuisance and model together, (alpha, target)."""
        total = self.x.new_zeros(len(alphas), len(here))
        for part in parts:
            extra = Extra.of(*part.x, part.smoother, alpha)
            for places, responses in self.y.of(here):
                train, test, mean = part.divide(responses)
                projected = extra.project(train)
                left = test - mean - part.smoother.predict(alpha, train)
                for k, penalty in enumerate(alphas.tolist()):
                    total[k, places] += (left - extra.predict(penalty, projected)).square().mean(0)
        return total

    def _held_out(
        self, outer: _Part, here: Tensor, alpha: float, values: dict[str, Tensor]
    ) -> None:
        """Fill in the scores of the targets whose nuisance has this penalty."""
        extra = Extra.of(*outer.x, outer.smoother, alpha)
        for places, responses in self.y.of(here):
            train, truth, mean = outer.divide(responses)
            targets = here[places]
            added = extra.predict(values["alpha"][targets], extra.project(train))
            base = mean + outer.smoother.predict(alpha, train)
            values["nuisance_r2"][targets] = r2_columns(base, truth)
            values["joint_r2"][targets] = r2_columns(base + added, truth)
            partial = pearson_columns(added, truth - base)
            values["partial_r"][targets] = partial.masked_fill(is_constant(truth), torch.nan)
