"""From single samples to one response an item."""

from __future__ import annotations

import numpy as np


def averaged(block: np.ndarray, member: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Mean over the samples of each item, in order of the items."""
    order = np.argsort(member, kind="stable")
    first = np.concatenate([[0], np.cumsum(repeats)[:-1]])
    means: np.ndarray = np.add.reduceat(block[order], first, axis=0) / repeats[:, None]
    return means


def standardised(block: np.ndarray, session: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance in each session; what is constant in one becomes 0 there."""
    scaled = np.empty_like(block)
    for name in np.unique(session):
        rows = np.flatnonzero(session == name)
        part = block[rows] - block[rows].mean(axis=0)
        sd = block[rows].std(axis=0, ddof=1 if rows.size > 1 else 0)
        flat = block[rows].max(axis=0) == block[rows].min(axis=0)
        scaled[rows] = np.where(flat, 0.0, part / np.where(flat | (sd == 0), 1.0, sd))
    return scaled


def wanted_targets(block: np.ndarray, drop: tuple[str, ...]) -> np.ndarray:
    """Targets that stay: by name, those with missing values and constant ones may be dropped."""
    wanted = np.ones(block.shape[1], dtype=bool)
    finite = np.isfinite(block).all(axis=0)
    if "missing" in drop:
        wanted &= finite
    if "constant" in drop:
        wanted &= ~finite | (block.max(axis=0) > block.min(axis=0))
    return wanted
