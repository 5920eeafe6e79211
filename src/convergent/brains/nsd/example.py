"""Small files in NSD's formats, with responses that are known: for tests, docs and benchmarks.

Names, types, axes and scales are NSD's; numbers of images, trials, voxels and vertices are cut
down. A response is ``sqrt(h) * signal + sqrt(1 - h) * noise``, then moved and scaled anew in each
session, as percent signal change. The signal is a weighted sum of the grey levels of the image's
nine squares.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd import files

Floats = NDArray[np.float64]


def to_int16(values: Floats) -> NDArray[np.int16]:
    """300 times the percent signal change, rounded."""
    return np.asarray(np.clip(np.rint(values * 300), -32768, 32767), dtype=np.int16)


def write_mgh(path: Path, values: NDArray[Any]) -> None:
    """Values (vertex,) or (vertex, trial) as MGH; compressed if the name says so."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (len(values), 1, 1, *values.shape[1:])
    nibabel.save(nibabel.MGHImage(values.reshape(shape), np.eye(4)), path)


def write_nifti(path: Path, values: NDArray[Any]) -> None:
    """A volume as compressed NIfTI of 1.8 mm voxels."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.8, 1.8, 1.8, 1.0])), path)


def write_hdf5(path: Path, name: str, values: NDArray[Any], chunks: tuple[int, ...] | None) -> None:
    """One array as HDF5."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, chunks=chunks)


def write_mat(path: Path, content: Mapping[str, NDArray[Any]], version: str) -> None:
    """Variables as MATLAB's version 5 or 7.3 writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if version == "5":
        from scipy.io import savemat

        savemat(path, dict(content), do_compression=True)
        return
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in content.items():
            file[name] = values.T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


SQUARES = 3  # a side
_PIXELS = 24


def _coco(number: int) -> int:
    """COCO's id of an image: any, as long as no two have one."""
    return 7 * number + 262145


def write_info(example: Example, shared: set[int]) -> None:
    """Write the table of stimuli, with the trials (from 1) of each subject's repeats."""
    subjects = range(1, len(files.SUBJECTS) + 1)
    repeats = {
        (k, r): np.zeros(len(example.latents), dtype=int) for k in subjects for r in range(3)
    }
    for k, own in enumerate(example.images, start=1):
        seen = np.zeros(len(example.latents), dtype=int)
        for trial, number in enumerate(own[example.ordering - 1].tolist(), start=1):
            repeats[k, seen[number - 1]][number - 1] = trial
            seen[number - 1] += 1
    header = ["", "cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000"]
    header += ["shared1000", *(f"subject{k}" for k in subjects)]
    header += [f"subject{k}_rep{r}" for k in subjects for r in range(3)]
    with (example.directory / files.STIMULUS_INFO).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        for place in range(len(example.latents)):
            trials = [[int(repeats[k, r][place]) for r in range(3)] for k in subjects]
            table.writerow(
                [place, _coco(place + 1), "train2017" if place % 2 else "val2017"]
                + ["(0, 0, 0.1671875, 0.1671875)", 0.1, place, False, False]
                + [place + 1 in shared, *(int(any(three)) for three in trials)]
                + [trial for three in trials for trial in three]
            )


def write_behaviour(example: Example) -> None:
    """Write each subject's answers: of the sessions that it completed, a row a trial."""
    for index, (subject, sessions) in enumerate(files.SESSIONS.items(), start=1):
        path = example.directory / files.behaviour_file(subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["SUBJECT\tSESSION\tRUN\tTRIAL\t73KID\t10KID\tISOLD"]
        seen: set[int] = set()
        for session in range(1, sessions + 1):
            shown = example.shown(subject, session).tolist()
            first = (session - 1) * example.trials
            own = example.ordering[first : first + example.trials].tolist()
            for trial, (number, place) in enumerate(zip(shown, own, strict=True), start=1):
                lines.append(
                    f"{index}\t{session}\t1\t{trial}\t{number}\t{place}\t{int(number in seen)}"
                )
                seen.add(number)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_images(example: Example) -> None:
    """Write pictures of nine squares, whose grey levels are the latents."""
    squares = example.latents.reshape(-1, SQUARES, SQUARES)
    side = _PIXELS // SQUARES
    grey = np.clip(np.rint(128 + 36 * squares), 0, 255).astype(np.uint8)
    pixels = grey.repeat(side, axis=1).repeat(side, axis=2)
    brick = np.repeat(pixels[..., None], 3, axis=3)
    write_hdf5(example.directory / files.IMAGES, "imgBrick", brick, (1, *brick.shape[1:]))


def write_captions(example: Example) -> None:
    """Write five captions an image, each of which says how bright one square is."""
    words = ("dark", "dim", "grey", "pale", "bright")
    annotations: dict[int, list[dict[str, object]]] = {0: [], 1: []}
    for place, latents in enumerate(example.latents):
        levels = np.clip(np.rint(latents + 2), 0, 4).astype(int)
        for person in range(5):
            caption = f"A {words[levels[person]]} square {person + 1} of a picture."
            annotations[place % 2].append(
                {"image_id": _coco(place + 1), "id": 5 * place + person, "caption": caption}
            )
    for path, which in zip(files.CAPTIONS, (1, 0), strict=True):
        target = example.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"annotations": annotations[which]}), encoding="utf-8")


# Label, name and explained share h of single-trial variance of the areas.
AREAS = {1: ("V1", 0.8), 2: ("MST", 0.5), 4: ("V2", 0.3), 8: ("4", 0.0)}
_STREAMS = {1: "early", 2: "midventral", 3: "midlateral", 4: "midparietal", 5: "ventral"}
# Numbers of the areas that NSD drew in each subject, which has not all of them.
DRAWN = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
}


@dataclass(frozen=True)
class Example:
    """What was planted.

    Attributes
    ----------
    directory : Path
    latents : ndarray, shape (image, square)
        Grey levels, standard normal, by 73k id less 1.
    ordering : ndarray of int, shape (trial,)
    images : ndarray of int, shape (subject, image)
    trials : int
        A session.
    """

    directory: Path
    latents: Floats
    ordering: NDArray[np.int64]
    images: NDArray[np.int64]
    trials: int

    def shown(self, subject: str, session: int) -> NDArray[np.int64]:
        """73k ids of a session's trials."""
        own = self.images[files.SUBJECTS.index(subject)]
        numbers: NDArray[np.int64] = own[
            self.ordering[(session - 1) * self.trials : session * self.trials] - 1
        ]
        return numbers

    def weights(self, subject: str, side: str, targets: int) -> Floats:
        """Of the squares for the signal of each target, of length 1; shape (target, square)."""
        drawn = _rng(subject, side, "weights").normal(size=(targets, SQUARES**2))
        unit: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return unit

    def percent_change(self, subject: str, side: str, explained: Floats, session: int) -> Floats:
        """Responses of a session, (trial, target)."""
        rng = _rng(subject, side, f"session {session}")
        latents = self.latents[self.shown(subject, session) - 1]
        signal = latents @ self.weights(subject, side, explained.size).T
        noise = rng.normal(size=signal.shape)
        values = np.sqrt(explained) * signal + np.sqrt(1 - explained) * noise
        gain, level = rng.uniform(0.5, 2, explained.size), rng.normal(size=explained.size)
        return np.asarray(values * gain + level)


def _rng(*words: str) -> np.random.Generator:
    return np.random.default_rng(list(" ".join(words).encode()))


def explained_by(labels: NDArray[np.int64]) -> Floats:
    """The share h of each target, from its label; 0 outside the areas."""
    share = np.zeros(labels.shape)
    for label, (_, h) in AREAS.items():
        share[labels == label] = h
    return share


def write_experiment(
    directory: Path, *, scale: int = 50, version: str = "5", images: bool = True
) -> Example:
    """Write the experiment, images and captions.

    Parameters
    ----------
    directory : Path
    scale : int
        How many times fewer images and trials than NSD; a divisor of 250.
    version : {"5", "7.3"}
        Of MATLAB's format.
    images : bool
        Write images and captions as well.
    """
    rng = np.random.default_rng(73)
    shared, own, total = 1000 // scale, 10000 // scale, 73000 // scale
    numbers = rng.permutation(total) + 1
    rest = numbers[shared:].reshape(len(files.SUBJECTS), own - shared)
    subjectim = np.hstack([np.tile(numbers[:shared], (len(rest), 1)), rest]).astype(np.int64)
    ordering = rng.permutation(np.repeat(np.arange(1, own + 1), 3)).astype(np.int64)
    example = Example(
        directory, rng.normal(size=(total, SQUARES**2)), ordering, subjectim, 750 // scale
    )
    pattern = np.zeros((40, 12, 75), dtype=np.uint8)  # blanks fill up the session
    pattern.reshape(40, -1)[:, : example.trials] = 1
    write_mat(
        directory / files.DESIGN,
        {
            "masterordering": ordering[None].astype(np.float64),
            "subjectim": subjectim.astype(np.float64),
            "sharedix": np.sort(numbers[:shared])[None].astype(np.float64),
            "stimpattern": pattern,
        },
        version,
    )
    write_info(example, set(numbers[:shared].tolist()))
    write_behaviour(example)
    if images:
        write_images(example)
        write_captions(example)
    return example


def write_surface(
    example: Example,
    subject: str,
    vertices: Mapping[str, int],
    *,
    sessions: Sequence[int] | None = None,
    space: files.Space = "fsaverage",
    betas: files.Betas = "betas_fithrf_GLMdenoise_RR",
) -> None:
    """Write labels, ncsnr and sessions of a surface.

    Parameters
    ----------
    vertices : mapping
        Of ``lh`` and ``rh``.
    sessions : sequence of int, optional
        All that the subject completed by default.
    space : {"fsaverage", "nativesurface"}
        MGH files of float32, or HDF5 of int16.
    """
    root = example.directory
    labels_at = root / files.label_folder(subject, space)
    betas_at = root / files.betas_folder(subject, space, betas)
    _write_names(labels_at)
    for hemi, count in vertices.items():
        labels = _labels(count)
        write_mgh(labels_at / f"{hemi}.HCP_MMP1.mgz", labels.astype(np.int32))
        streams = np.where(labels > 0, np.minimum(labels, 5), 0)
        write_mgh(labels_at / f"{hemi}.streams.mgz", streams.astype(np.int32))
        write_mgh(labels_at / f"{hemi}.nsdgeneral.mgz", (labels % 2).astype(np.int32))
        if space == "nativesurface":
            for atlas in DRAWN:
                write_mgh(labels_at / f"{hemi}.{atlas}.mgz", _drawn(atlas, labels))
        explained = explained_by(labels)
        write_mgh(betas_at / f"{hemi}.ncsnr.mgh", _ncsnr(explained))
        for number in sessions or range(1, files.SESSIONS[subject] + 1):
            values = example.percent_change(subject, hemi, explained, number)
            if space == "fsaverage":
                path = betas_at / files.session_file(hemi, number, "mgh")
                write_mgh(path, values.T.astype(np.float32))
            else:
                path = betas_at / files.session_file(hemi, number, "hdf5")
                write_hdf5(path, "betas", to_int16(values), None)


def write_volume(
    example: Example,
    subject: str,
    shape: tuple[int, int, int] = (6, 5, 4),
    *,
    sessions: Sequence[int] | None = None,
    nifti: bool = True,
    betas: files.Betas = "betas_fithrf_GLMdenoise_RR",
) -> None:
    """Write labels, ncsnr and sessions of a volume, as HDF5 and (``nifti``) compressed NIfTI.

    The left hemisphere has the smaller x; labels are -1 on the other side, and the first and
    last plane are outside the brain, 0 in every trial.
    """
    root = example.directory
    roi_at = root / f"nsddata/ppdata/{subject}/func1pt8mm/roi"
    betas_at = root / files.betas_folder(subject, "func1pt8mm", betas)
    _write_names(root / files.label_folder(subject, "func1pt8mm"))
    x = np.arange(shape[0])[:, None, None] + np.zeros(shape, dtype=int)
    labels = _labels(int(np.prod(shape))).reshape(shape, order="F")
    labels[:, :, [0, -1]] = 0
    brain = np.ones(shape, dtype=bool)
    brain[:, :, [0, -1]] = False
    for hemi, inside in (("lh", x < shape[0] // 2), ("rh", x >= shape[0] // 2)):
        for atlas, values in (
            ("HCP_MMP1", labels),
            ("streams", np.minimum(labels, 5)),
            ("nsdgeneral", labels % 2),
        ):
            path = roi_at / f"{hemi}.{atlas}.nii.gz"
            write_nifti(path, np.where(inside, values, -1).astype(np.float32))
        for atlas in DRAWN:
            values = np.where(inside & brain, _drawn(atlas, labels), -1)
            write_nifti(roi_at / f"{hemi}.{atlas}.nii.gz", values.astype(np.float32))
    explained = explained_by(labels).ravel(order="F")
    write_nifti(
        betas_at / "ncsnr.nii.gz", _ncsnr(explained).reshape(shape, order="F").astype(np.float32)
    )
    for number in sessions or range(1, files.SESSIONS[subject] + 1):
        values = example.percent_change(subject, "volume", explained, number)
        values[:, ~brain.ravel(order="F")] = 0
        packed = to_int16(values)
        whole = packed.reshape(-1, *shape[::-1])  # (trial, z, y, x), as MATLAB's HDF5
        path = betas_at / files.session_file("", number, "hdf5")
        write_hdf5(path, "betas", whole, (len(whole), 1, 1, 1))
        if nifti:
            write_nifti(betas_at / files.session_file("", number, "nii.gz"), whole.T)


def _labels(count: int) -> NDArray[np.int64]:
    """Labels in turn, and every fifth target in none."""
    return np.resize([*AREAS, 0], count).astype(np.int64)


def _drawn(atlas: str, labels: NDArray[np.int64]) -> NDArray[np.int32]:
    """Areas of those drawn in a subject, in turn, where there are labels; else -1 or 0."""
    count = len(DRAWN[atlas])
    turn = np.arange(labels.size).reshape(labels.shape, order="F") % (count + 1)
    return np.where(labels > 0, turn, np.where(turn % 2, 0, -1)).astype(np.int32)


def _ncsnr(explained: Floats) -> NDArray[np.float32]:
    return np.sqrt(explained / (1 - explained)).astype(np.float32)


def _write_names(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "HCP_MMP1": {label: name for label, (name, _) in AREAS.items()},
        "streams": _STREAMS,
        "nsdgeneral": {1: "nsdgeneral"},
        **{atlas: dict(enumerate(names, start=1)) for atlas, names in DRAWN.items()},
    }
    for atlas, names in tables.items():
        lines = ["0 Unknown", *(f"{label} {name}" for label, name in names.items())]
        (folder / f"{atlas}.mgz.ctab").write_text("\n".join(lines) + "\n", encoding="utf-8")
