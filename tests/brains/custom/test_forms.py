"""Files of brain data in the forms that people have are read right, or refused in one line."""

from __future__ import annotations

import gzip
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
import zarr
from nibabel import cifti2

from convergent.brains import check_dataset
from convergent.brains.custom import OwnData

SAMPLES, TARGETS = 12, 8
DATA = np.random.default_rng(0).normal(size=(SAMPLES, TARGETS)).astype(np.float32)
IDS = [f"t{number:02d}" for number in range(SAMPLES)]
BOX = (3, 4, 2)
INSIDE = np.zeros(BOX, dtype=bool)
INSIDE[1:, 1:3, :] = True
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
LEFT = "CIFTI_STRUCTURE_CORTEX_LEFT"
BRAIN = cifti2.BrainModelAxis.from_mask(np.ones(TARGETS, bool), name=LEFT)
PARCELS = cifti2.ParcelsAxis(
    [f"P{number}" for number in range(TARGETS)], [np.zeros((0, 3), int)] * TARGETS,
    [{LEFT: np.array([number])} for number in range(TARGETS)], nvertices={LEFT: TARGETS},
)  # fmt: skip
MAPS, SERIES = cifti2.ScalarAxis(IDS), cifti2.SeriesAxis(0, 2, SAMPLES)

Said = dict[str, Any]
Form = Callable[[Path], Said]


def box(values: np.ndarray = DATA) -> np.ndarray:
    """Values at the voxels inside, and something else outside."""
    volume = np.full((*BOX, len(values)), 99, dtype=values.dtype)
    volume[INSIDE] = values.T
    return volume


def nifti(name: str = "x.nii.gz", make: Any = None, **said: Any) -> Form:
    def save(folder: Path) -> Said:
        image = nib.Nifti1Image(box(), AFFINE) if make is None else make()
        nib.save(image, folder / name)
        if "mask" not in said:
            nib.save(nib.Nifti1Image(INSIDE.astype(np.uint8), AFFINE), folder / "m.nii.gz")
        return {"files": name, "mask": "m.nii.gz", **said}

    return save


def masked(values: np.ndarray, affine: np.ndarray = AFFINE, **said: Any) -> Form:
    def save(folder: Path) -> Said:
        nib.save(nib.Nifti1Image(box(), AFFINE), folder / "x.nii.gz")
        nib.save(nib.Nifti1Image(values, affine), folder / "m.nii.gz")
        return {"files": "x.nii.gz", "mask": "m.nii.gz", **said}

    return save


def array(values: np.ndarray = DATA, **said: Any) -> Form:
    def save(folder: Path) -> Said:
        np.save(folder / "x.npy", values)
        return {"files": "x.npy", **said}

    return save


def archive(write: Callable[..., None] = np.savez, **arrays: np.ndarray) -> Form:
    def save(folder: Path) -> Said:
        write(folder / "x.npz", **arrays)
        return {"files": "x.npz", **({"key": "b"} if len(arrays) > 1 else {})}

    return save


def surface(name: str, matrix: bool = False) -> Form:
    """GIFTI, a file a hemisphere."""

    def save(folder: Path) -> Said:
        for side, part in (("L", DATA[:, :3]), ("R", DATA[:, 3:])):
            rows = [part.T] if matrix else list(part)
            image = nib.GiftiImage(darrays=[nib.gifti.GiftiDataArray(row) for row in rows])
            content = image.to_bytes()
            path = folder / name.replace("{hemi}", side)
            path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return {"files": name}

    return save


def cifti(name: str, *axes: Any, values: np.ndarray = DATA) -> Form:
    def save(folder: Path) -> Said:
        image = nib.Cifti2Image(values, axes)
        content = image.to_bytes()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return {"files": name}

    return save


def freesurfer(name: str) -> Form:
    def save(folder: Path) -> Said:
        image = nib.MGHImage(DATA.T.reshape(TARGETS, 1, 1, SAMPLES), np.eye(4))
        content = image.to_bytes()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith("z") else content)
        return {"files": name}

    return save


def stored(zipped: bool, missing: bool = False, **said: Any) -> Form:
    def save(folder: Path) -> Said:
        zarr.create_array(folder / "x.zarr", data=DATA, chunks=(6, 4), **said)
        if missing:
            (folder / "x.zarr" / "c" / "1" / "0").unlink()
        if zipped:
            shutil.make_archive(str(folder / "x.zarr"), "zip", folder / "x.zarr")
            shutil.rmtree(folder / "x.zarr")
        return {"files": "x.zarr.zip" if zipped else "x.zarr"}

    return save


def runs(*values: np.ndarray, affine: np.ndarray | None = None) -> Form:
    def save(folder: Path) -> Said:
        first = 0
        for number, part in enumerate(values, 1):
            lies = AFFINE if affine is None or number == 1 else affine
            nib.save(nib.Nifti1Image(box(part), lies), folder / f"run-{number}_x.nii.gz")
            ids = IDS[first : first + len(part)]
            (folder / f"run-{number}.txt").write_text("\n".join(ids) + "\n")
            first += len(part)
        nib.save(nib.Nifti1Image(INSIDE.astype(np.int16), AFFINE), folder / "m.nii.gz")
        files = {"files": "run-{run}_x.nii.gz", "ids": "run-{run}.txt"}
        return files if affine is not None else {**files, "mask": "m.nii.gz"}

    return save


def scaled() -> Any:
    """int16 with a slope, of the other byte order."""
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(box(np.rint(DATA * 100) / 100), AFFINE, header)
    image.header.set_data_dtype(">i2")
    return image


def spread(values: np.ndarray, fill: float) -> np.ndarray:
    drawn = np.full(BOX, fill, dtype=values.dtype)
    drawn[INSIDE] = values
    return drawn


GAP = DATA.copy()
GAP[5] = np.nan
ONES = np.ones(TARGETS, np.int16)
CODES = np.array([1, 1, 2, 2, 3, 3, 5, 5], np.int16)
FIVE_AXES = [lambda: nib.Nifti1Image(box()[:, :, :, None], AFFINE)]

RIGHT: dict[str, tuple[Form, float]] = {
    "npy": (array(), 0),
    "npy of half precision": (array(DATA.astype(np.float16)), 2e-3),
    "npy of big-endian doubles": (array(DATA.astype(">f8")), 0),
    "npy in the order of Fortran": (array(np.asfortranarray(DATA)), 0),
    "npy of integers": (array(np.rint(DATA * 1000).astype(np.int16)), np.inf),
    "npy, targets first": (array(DATA.T, samples=1), 0),
    "npz": (archive(betas=DATA), 0),
    "npz, compressed, of two": (archive(np.savez_compressed, a=DATA * 2, b=DATA), 0),
    "zarr": (stored(False), 0),
    "zarr of version 2": (stored(False, zarr_format=2), 0),
    "zarr.zip": (stored(True), 0),
    "nii.gz with a mask": (nifti(), 0),
    "nii with a mask": (nifti("x.nii"), 0),
    "NIfTI 2": (nifti(make=lambda: nib.Nifti2Image(box(), AFFINE)), 0),
    "scaled integers of the other byte order": (nifti(make=scaled), 6e-3),
    "NIfTI of five axes": (nifti(make=FIVE_AXES[0]), 0),
    "NIfTI of a surface": (
        nifti(make=lambda: nib.Nifti1Image(DATA.T[:, None, None], np.eye(4)), mask=None), 0,
    ),
    "runs with a mask": (runs(DATA[:5], DATA[5:]), 0),
    "mask of floats": (masked(INSIDE.astype(np.float32)), 0),
    "mask of 1 and NaN": (masked(np.where(INSIDE, 1, np.nan).astype(np.float32)), 0),
    "mask of 0 and 255": (masked(np.where(INSIDE, 255, 0).astype(np.uint8), inside=[255]), 0),
    "mask of areas": (masked(spread(CODES, -1), inside=[1, 2, 3, 5]), 0),
    "mask of areas above 0": (masked(spread(CODES, -1), inside="positive"), 0),
    "gifti": (surface("x_hemi-{hemi}.func.gii"), 0),
    "gifti of a matrix": (surface("x_hemi-{hemi}.func.gii", matrix=True), 0),
    "gifti, compressed": (surface("x_hemi-{hemi}.func.gii.gz"), 0),
    "mgh": (freesurfer("x.mgh"), 0),
    "mgz": (freesurfer("x.mgz"), 0),
    "dscalar": (cifti("x.dscalar.nii", MAPS, BRAIN), 0),
    "dtseries": (cifti("x.dtseries.nii", SERIES, BRAIN), 0),
    "pscalar": (cifti("x.pscalar.nii", MAPS, PARCELS), 0),
    "ptseries": (cifti("x.ptseries.nii", SERIES, PARCELS), 0),
    "CIFTI of any name": (cifti("x.nii", MAPS, BRAIN), 0),
    "CIFTI, compressed": (cifti("x.dtseries.nii.gz", SERIES, BRAIN), 0),
    "CIFTI, targets first": (cifti("x.dscalar.nii", BRAIN, MAPS, values=DATA.T), 0),
}  # fmt: skip


def check(folder: Path, save: Form, regions: Said | None = None) -> tuple[Any, list[str]]:
    """What the check says of one subject's file."""
    rows = "".join(f"{name}\tsentence {name}\n" for name in IDS)
    (folder / "stimuli.tsv").write_text("id\ttext\n" + rows)
    (folder / "ids.txt").write_text("\n".join(IDS) + "\n")
    said = {"ids": "ids.txt"} | {key: v for key, v in save(folder).items() if v is not None}
    config = {
        "modality": "language", "design": "items", "subjects": ["s"],
        "stimuli": {"table": "stimuli.tsv"}, "responses": said,
        "regions": regions or {"whole": "all"},
    }  # fmt: skip
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump(config))
    report = check_dataset("x", OwnData(file=str(path), name="x"))
    return report.subjects[0].responses if report.subjects else None, report.errors


@pytest.mark.parametrize("form", RIGHT)
def test_files_of_this_form_are_read_right(tmp_path, form):
    save, far = RIGHT[form]
    brain, errors = check(tmp_path, save)
    assert errors == []
    expected = np.rint(DATA * 1000) if far == np.inf else DATA
    np.testing.assert_allclose(brain.data, expected, atol=0 if far == np.inf else far + 1e-7)
    assert brain.stimulus_id.tolist() == IDS


def cut(save: Form, by: int) -> Form:
    def shortened(folder: Path) -> Said:
        said = save(folder)
        path = next(path for path in folder.iterdir() if path.name.startswith("x"))
        content = path.read_bytes()
        path.write_bytes(content[:by] if by < 0 else content + bytes(by))
        return said

    return shortened


def flipped(save: Form) -> Form:
    def changed(folder: Path) -> Said:
        said = save(folder)
        path = next(path for path in folder.iterdir() if path.name.startswith("x"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        return said

    return changed


def raw(name: str, content: bytes) -> Form:
    def save(folder: Path) -> Said:
        (folder / name).write_bytes(content)
        return {"files": name}

    return save


def objects(folder: Path) -> Said:
    np.save(folder / "x.npy", {"betasmd": DATA}, allow_pickle=True)
    return {"files": "x.npy"}


COMPLEX = nib.Nifti1Image(box(DATA.astype(np.complex64)), AFFINE)
COLOURS = nib.Nifti1Image(
    np.zeros(BOX, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), AFFINE
)  # fmt: skip
SHIFTED = AFFINE + np.array([[0, 0, 0, 2.0]] + [[0] * 4] * 3)

WRONG: dict[str, tuple[Form, str]] = {
    "complex npy": (array(DATA.astype(np.complex64)), "values of type complex64"),
    "complex npz": (archive(betas=DATA * 1j), "values of type complex"),
    "complex NIfTI": (nifti(make=lambda: COMPLEX), r"x\.nii\.gz: values of type complex64"),
    "NIfTI of colours": (nifti(make=lambda: COLOURS), r"values of type \[\('R'"),
    "booleans": (array(DATA > 0), "values of type bool"),
    "text": (array(DATA.astype(str)), "values of type <U"),
    "records": (array(np.zeros((SAMPLES, 2), [("a", "f4")])), "values of type"),
    "three axes": (array(DATA[:, :, None]), r"array of shape \(12, 8, 1\)"),
    "a dictionary as GLMsingle saves it": (objects, "holds Python objects"),
    "a pickle under another name": (raw("x.npy", pickle.dumps(DATA)), "holds Python objects"),
    "a pickle": (raw("x.pickle", pickle.dumps(DATA)), "unknown format"),
    "csv": (raw("x.csv", b"1,2\n"), "unknown format"),
    "netCDF": (raw("x.nc", b"CDF\x01"), "unknown format"),
    "MATLAB": (raw("x.mat", b"MATLAB 5.0"), "unknown format"),
    "an empty file": (raw("x.nii.gz", b""), r"x\.nii\.gz: cannot be read"),
    "npy cut short": (cut(array(), -4), "cannot be read"),
    "npy with more behind it": (cut(array(), 8), "520 bytes, its array 512"),
    "nii cut short": (cut(nifti("x.nii"), -4), r"x\.nii: cannot be read"),
    "nii.gz cut short": (cut(nifti(), -12), r"x\.nii\.gz: the compressed file is damaged"),
    "mgz cut short": (cut(freesurfer("x.mgz"), -12), r"x\.mgz: the compressed file is damaged"),
    "gii.gz cut short": (
        cut(surface("x_hemi-{hemi}.gii.gz"), -12), r"gii\.gz: the compressed file is damaged",
    ),
    "nii.gz with a flipped bit": (flipped(nifti()), r"x\.nii\.gz: "),
    "mgz with a flipped bit": (flipped(freesurfer("x.mgz")), r"x\.mgz: the compressed file"),
    "gii.gz with a flipped bit": (flipped(surface("x_hemi-{hemi}.gii.gz")), r"gii\.gz: "),
    "compressed CIFTI with a flipped bit": (
        flipped(cifti("x.dscalar.nii.gz", MAPS, BRAIN)), r"dscalar\.nii\.gz: ",
    ),
    "npz with a flipped bit": (flipped(archive(np.savez_compressed, betas=DATA)), r"x\.npz: "),
    "zarr without a chunk": (stored(False, missing=True), "3 of 4 chunks are there"),
    "connectivity": (
        cifti("x.dconn.nii", BRAIN, BRAIN, values=DATA[:8]), "axes BrainModel and BrainModel",
    ),
    "a sample without values": (array(GAP), "1 samples have no value.*sample 6, stimulus 't05'"),
    "a run without values": (
        runs(DATA[:5], np.full((7, TARGETS), np.nan, np.float32)),
        r"7 samples have no value.*sample 1 of run 2 \(of 2\), stimulus 't05'",
    ),
    "a run on another grid": (runs(DATA[:5], DATA[5:], affine=SHIFTED), "elsewhere than"),
    "a mask on another grid": (
        masked(INSIDE.astype(np.uint8), SHIFTED), r"mask m\.nii\.gz of shape .* is on another grid",
    ),
    "a mask of 0 and 255": (
        masked(np.where(INSIDE, 255, 0).astype(np.uint8)), r"mask of the values 0, 255.*inside",
    ),
    "NSD's mask of -1, 0 and areas": (
        masked(spread(CODES, -1)), "mask of the values -1, 1, 2, 3, 5.*responses.inside",
    ),
    "a mask of probabilities": (
        masked(np.where(INSIDE, 0.7, 0).astype(np.float32)), "mask of the values 0, 0.7",
    ),
    "a mask with nothing inside": (masked(np.zeros(BOX, np.uint8)), "no voxel is inside"),
    "an area that the mask lacks": (
        masked(spread(CODES, 0), inside=[1, 4]), "inside has 4, the mask has the values 0, 1, 2",
    ),
    "a complex mask": (masked(INSIDE.astype(np.complex64)), "values of type complex64"),
    "a mask for a surface": (
        lambda folder: {**array()(folder), "mask": "m.nii.gz"}, "a mask for what is no volume",
    ),
    "inside of no mask": (array(inside=[1]), "give responses.mask"),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_files_of_this_form_are_refused_in_one_line(tmp_path, form):
    save, message = WRONG[form]
    brain, errors = check_or_error(tmp_path, save)
    assert brain is None
    assert len(errors) == 1
    assert_matches(errors[0], message)


def check_or_error(folder: Path, save: Form, regions: Said | None = None) -> tuple[Any, list[str]]:
    from convergent.errors import ConfigError

    try:
        return check(folder, save, regions)
    except ConfigError as error:
        return None, [str(error)]


def assert_matches(error: str, message: str) -> None:
    import re

    assert re.search(message, error), error
    assert "\n" not in error


def labelled(values: Any, name: str = "labels.npy") -> Form:
    def save(folder: Path) -> Said:
        if name.endswith(".npy"):
            np.save(folder / name, values)
        elif name.endswith(".tsv"):
            rows = "".join(f"{number}\t{value}\n" for number, value in enumerate(values))
            (folder / name).write_text("voxel\tregion\n" + rows)
        else:
            (folder / name).write_text("".join(f"{value}\n" for value in values))
        (folder / "names.tsv").write_text("key\tregion\n1\tV1\n2\tV2\n3\tV3\n5\tFFA\n")
        return array()(folder)

    return save


def drawn(values: np.ndarray, affine: np.ndarray = AFFINE) -> Form:
    def save(folder: Path) -> Said:
        nib.save(nib.Nifti1Image(values, affine), folder / "areas.nii.gz")
        (folder / "names.tsv").write_text("key\tregion\n1\tV1\n2\tV2\n3\tV3\n5\tFFA\n")
        return nifti()(folder)

    return save


def parcels(folder: Path) -> Said:
    return cifti("x.ptseries.nii", SERIES, PARCELS)(folder)


def dlabel(folder: Path) -> Said:
    table = {0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 2: ("V2", (0, 1, 0, 1))}
    keys = np.array([[0, 1, 1, 2, 2, 2, 0, 1]], np.float32)
    axes = cifti2.LabelAxis(["areas"], [table]), BRAIN
    nib.save(nib.Cifti2Image(keys, axes), folder / "areas.dlabel.nii")
    return cifti("x.dscalar.nii", MAPS, BRAIN)(folder)


NAMES = ["V1"] * 2 + ["V2"] * 2 + ["V3"] * 2 + ["FFA"] * 2
LABELS = {"labels": "labels.npy"}
IMAGE = {"image": "areas.nii.gz"}
ZEROS = np.where(CODES == 1, 0, CODES)
LACK = np.where(CODES == 1, -1, CODES)

REGIONS: dict[str, tuple[Form, Said, list[str] | str]] = {
    "names": (labelled(NAMES), LABELS, NAMES),
    "numbers, 0 for none": (labelled(ZEROS), LABELS, ["2", "2", "3", "3", "5", "5"]),
    "floats of whole numbers, NaN for none": (
        labelled(np.where(ZEROS == 0, np.nan, ZEROS)), LABELS, ["2", "2", "3", "3", "5", "5"],
    ),
    "numbers with names": (labelled(CODES), {**LABELS, "names": "names.tsv"}, NAMES),
    "numbers as text": (
        labelled(ZEROS, "l.txt"), {"labels": "l.txt", "names": "names.tsv"}, NAMES[2:],
    ),
    "another background": (
        labelled(CODES), {**LABELS, "background": [5]}, ["1", "1", "2", "2", "3", "3"],
    ),
    "n/a and empty cells": (
        labelled(["n/a", "", *NAMES[2:]], "l.tsv"), {"labels": "l.tsv"}, NAMES[2:],
    ),
    "area 4 among names": (labelled(["4", "4", *NAMES[2:]]), LABELS, ["4", "4", *NAMES[2:]]),
    "parcels name themselves": (
        parcels, {"labels": "x.ptseries.nii"}, [f"P{number}" for number in range(TARGETS)],
    ),
    "dlabel": (dlabel, {"labels": "areas.dlabel.nii"}, ["V1", "V1", "V2", "V2", "V2", "V1"]),
    "label volume": (drawn(spread(CODES, 0)), {**IMAGE, "names": "names.tsv"}, NAMES),
    "label volume of NaN outside": (
        drawn(spread(CODES.astype(np.float32), np.nan)), {**IMAGE, "names": "names.tsv"}, NAMES,
    ),
    "NSD's label volume": (
        drawn(spread(LACK, -1)), {**IMAGE, "names": "names.tsv", "background": [-1, 0]}, NAMES[2:],
    ),
    "fractions": (labelled(CODES + 0.5), LABELS, "8 labels are not whole numbers, such as 1.5"),
    "negative numbers of no meaning": (labelled(LACK), LABELS, r"label -1, of which nothing says"),
    "a number without a name": (
        labelled(CODES + 1), {**LABELS, "names": "names.tsv"}, "label 4 of .* has no name",
    ),
    "a name of the background": (
        labelled(CODES), {**LABELS, "names": "names.tsv", "background": [5]}, "and is background",
    ),
    "numbers for names": (
        labelled(NAMES), {**LABELS, "names": "names.tsv"}, "labels that are no numbers",
    ),
    "grayordinates have no names": (
        cifti("x.dscalar.nii", MAPS, BRAIN), {"labels": "x.dscalar.nii"}, "have no names",
    ),
    "label volume of fractions": (
        drawn(spread(CODES + np.float32(0.4), 0)), {**IMAGE, "names": "names.tsv"},
        "not whole numbers, such as 1.4",
    ),
    "flipped label volume": (
        drawn(spread(CODES, 0), AFFINE @ np.diag([-1.0, 1, 1, 1])), IMAGE,
        "another grid than the mask.*one is mirrored",
    ),
    "label volume of another size": (
        drawn(np.zeros((3, 4, 3), np.int16)), IMAGE, r"another grid than the mask \(3, 4, 2\)",
    ),
    "NSD's label volume, unsaid": (drawn(spread(LACK, -1)), IMAGE, "label -1, of which nothing"),
    "background of names": (
        labelled(NAMES), {"whole": "all", "background": [0]}, "give image or labels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", REGIONS)
def test_what_is_a_region_and_what_is_background(tmp_path, form):
    save, regions, expected = REGIONS[form]
    brain, errors = check_or_error(tmp_path, save, regions)
    if isinstance(expected, list):
        assert errors == []
        assert brain.region.tolist() == expected
    else:
        assert brain is None
        assert_matches(errors[0], expected)
