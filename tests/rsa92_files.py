"""Small files in the form of the 92 objects', with planted dissimilarities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

SUBJECTS = ("BE", "KO", "SN", "TI")


def _struct(fields: Sequence[str], rows: Sequence[tuple[object, ...]]) -> np.ndarray:
    made = np.empty((1, len(rows)), dtype=[(name, "O") for name in fields])
    for k, row in enumerate(rows):
        made[0, k] = row
    return made


def write(
    folder: Path,
    *,
    noise: float = 0.5,
    sessions: Sequence[tuple[str, int]] | None = None,
    order: np.ndarray | None = None,
) -> np.ndarray:
    """Write both files; the shared part of the dissimilarities, (object, object), is returned.

    Pictures are noise on grey, whose mean colour is what all subjects share.
    """
    rng = np.random.default_rng(3)
    colour = rng.uniform(40, 215, size=(92, 3))
    images = np.clip(colour[:, None, None] + rng.normal(0, 10, (92, 175, 175, 3)), 0, 255)
    shared = np.linalg.norm(colour[:, None] - colour[None], axis=2)
    shared = shared / shared.max()

    def own() -> np.ndarray:
        upper = np.triu(rng.uniform(0, noise, size=(92, 92)), 1)
        return shared + upper + upper.T

    sessions = sessions or [(who, number) for number in (1, 2) for who in SUBJECTS]
    rows = [(own(), f"hIT | {who} | Session: {n}", np.zeros((1, 3))) for who, n in sessions]
    mean = np.mean([row[0] for row in rows], axis=0)
    if order is not None:
        rows = [(matrix[np.ix_(order, order)], *rest) for matrix, *rest in rows]
    folder.mkdir(parents=True, exist_ok=True)
    savemat(
        folder / "92_brainRDMs.mat",
        {"RDMs": _struct(("RDM", "name", "color"), rows)},
        do_compression=True,
    )
    pictures = [("artificial inanimate", image) for image in images.astype(np.uint8)]
    group = [("hITvisStim_316vx", mean[np.triu_indices(92, 1)][None])]
    savemat(
        folder / "Kriegeskorte_Neuron2008_supplementalData.mat",
        {
            "stimuli_92objs": _struct(("category", "image"), pictures),
            "RDMs_mIT_hIT_fig1": _struct(("name", "RDM"), group),
        },
        do_compression=True,
    )
    return shared
