"""The two files as published, read strictly."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.errors import DataError

RDMS = "92_brainRDMs.mat"
SUPPLEMENT = "Kriegeskorte_Neuron2008_supplementalData.mat"
SHA256 = {
    RDMS: "1743f90a15e895798a94318649e80e1123a7e5943a1703fa1dd7c31ea5780b7c",
    SUPPLEMENT: "06f21214399a5d43dc264eed19a7f4b8daf11c8622a59eec3e106064ce5e3504",
}
LICENSE = "MIT (rsatoolbox, demos/92imageData); pictures and matrices: cite the paper"
CITATION = (
    "Kriegeskorte, Mur, Ruff, Kiani, Bodurka, Esteky, Tanaka & Bandettini (2008). Matching "
    "categorical object representations in inferior temporal cortex of man and monkey. Neuron 60, "
    "1126-1141."
)
OBJECTS = 92
SIDE = 175  # pixels
_HOW = "take it from github.com/rsagroup/rsatoolbox, folder demos/92imageData"


@dataclass(frozen=True)
class Session:
    """One subject's dissimilarities of one session, (object, object)."""

    subject: str
    session: str
    matrix: NDArray[np.float64]


@dataclass(frozen=True)
class Pictures:
    """The objects in their published order.

    Attributes
    ----------
    images : ndarray of uint8, shape (object, y, x, 3)
    category : tuple of str
    human_it : ndarray of float64, shape (pair i < j,)
        Mean human dissimilarities, published with the pictures.
    """

    images: NDArray[np.uint8]
    category: tuple[str, ...]
    human_it: NDArray[np.float64]


def read_sessions(folder: str, *, verify: bool) -> list[Session]:
    """Read the dissimilarities of every subject and session.

    Raises
    ------
    DataError
        The file is missing, another one, or not of this form.
    """
    path, content = _load(folder, RDMS, verify)
    found = []
    for entry in _field(content, "RDMs", path).ravel():
        words = [part.strip() for part in str(_field(entry, "name", path).item()).split("|")]
        matrix = np.asarray(_field(entry, "RDM", path), dtype=np.float64)
        if len(words) != 3 or matrix.shape != (OBJECTS, OBJECTS):
            raise DataError(
                f"an entry '{' | '.join(words)}' of shape {matrix.shape}",
                where=str(path),
                fix=f"expected 'region | subject | session' and {OBJECTS} x {OBJECTS}; {_HOW}",
            )
        found.append(Session(words[1], words[2], matrix))
    return found


def read_pictures(folder: str, *, verify: bool) -> Pictures:
    """Read the pictures, their categories and the mean human dissimilarities.

    Raises
    ------
    DataError
        As in `read_sessions`.
    """
    path, content = _load(folder, SUPPLEMENT, verify)
    entries = _field(content, "stimuli_92objs", path).ravel()
    images = [np.asarray(_field(entry, "image", path)) for entry in entries]
    kinds = {(image.shape, image.dtype.str) for image in images}
    if len(images) != OBJECTS or kinds != {((SIDE, SIDE, 3), "|u1")}:
        raise DataError(
            f"{len(images)} pictures of shapes and types {sorted(kinds)}",
            where=str(path),
            fix=f"expected {OBJECTS} of {SIDE} x {SIDE} x 3 bytes; {_HOW}",
        )
    category = tuple(str(_field(entry, "category", path).item()) for entry in entries)
    published = {
        str(_field(entry, "name", path).item()): np.asarray(_field(entry, "RDM", path))
        for entry in _field(content, "RDMs_mIT_hIT_fig1", path).ravel()
    }
    human = [matrix for name, matrix in published.items() if name.startswith("hIT")]
    if len(human) != 1 or human[0].size != OBJECTS * (OBJECTS - 1) // 2:
        raise DataError(f"matrices {sorted(published)}", where=str(path), fix=_HOW)
    return Pictures(np.stack(images), category, human[0].ravel().astype(np.float64))


def _load(folder: str, name: str, verify: bool) -> tuple[Path, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(os.path.expandvars(folder)).expanduser() / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"file cannot be read: {error.strerror}",
            where=str(path),
            fix=f"give the folder with `--set datasets.<name>.options.data=DIR`; {_HOW}",
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if verify and digest != SHA256[name]:
        raise DataError(
            f"not the published file: SHA-256 {digest[:12]}, expected {SHA256[name][:12]}",
            where=str(path),
            fix=_HOW,
        )
    try:
        return path, loadmat(path)
    except (MatReadError, ValueError, NotImplementedError, TypeError) as error:
        raise DataError(f"no MATLAB 5 file ({error})", where=str(path), fix=_HOW) from None


def _field(value: Any, name: str, path: Path) -> Any:
    names = value if isinstance(value, dict) else (value.dtype.names or ())
    if name not in names:
        raise DataError(f"no field '{name}'", where=str(path), fix=_HOW)
    return value[name]
