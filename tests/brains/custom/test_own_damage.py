"""Damage of a user's files is an error where the format lets it be known."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import zarr

from convergent.brains.custom.arrays import open_mask, open_values
from convergent.errors import DataError

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(40, 12)).astype(np.float32)


def nifti(folder: Path) -> Path:
    values = (RNG.normal(size=(8, 8, 8, 10)) * 300).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "x.nii.gz")
    return folder / "x.nii.gz"


def mgz(folder: Path) -> Path:
    nib.save(nib.MGHImage(DATA.T.reshape(12, 1, 1, 40), np.eye(4)), folder / "x.mgz")
    return folder / "x.mgz"


def npz(folder: Path) -> Path:
    np.savez(folder / "x.npz", betas=DATA)
    return folder / "x.npz"


def npz_compressed(folder: Path) -> Path:
    np.savez_compressed(folder / "x.npz", betas=DATA)
    return folder / "x.npz"


def gii(folder: Path) -> Path:
    maps = [nib.gifti.GiftiDataArray(row) for row in DATA]
    nib.save(nib.GiftiImage(darrays=maps), folder / "x.gii")
    return folder / "x.gii"


def gii_gz(folder: Path) -> Path:
    (folder / "x.gii.gz").write_bytes(gzip.compress(gii(folder).read_bytes()))
    return folder / "x.gii.gz"


def zarr_zip(folder: Path) -> Path:
    zarr.create_array(folder / "x.zarr", data=DATA, chunks=(20, 6))
    shutil.make_archive(str(folder / "x.zarr"), "zip", folder / "x.zarr")
    return folder / "x.zarr.zip"


def values_of(path: Path) -> np.ndarray:
    return np.array(open_values(path, key=None, mask=None, samples=0)[:, :])


@pytest.mark.parametrize("save", [nifti, mgz, npz, npz_compressed, gii, gii_gz, zarr_zip])
def test_a_flipped_bit_or_a_cut_file_is_an_error_or_changes_nothing(tmp_path, save):
    path = save(tmp_path)
    whole, content = values_of(path), path.read_bytes()
    found = 0
    places = RNG.integers(0, 8 * len(content), 60).tolist()
    for bit in places:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            np.testing.assert_array_equal(values_of(path), whole)
        except DataError:
            found += 1
    assert found > 40  # the rest are bits of names, comments and times
    for cut in (0, len(content) // 2, len(content) - 5):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError):
            values_of(path)


def test_a_mask_with_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(RNG.integers(0, 2, (9, 9, 9)).astype(np.uint8), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match="the compressed file is damaged"):
        open_mask(path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_missing_chunk_of_a_zarr_array_is_no_zero(tmp_path, version, zipped):
    folder = tmp_path / "x.zarr"
    zarr.create_array(folder, data=DATA, chunks=(10, 6), zarr_format=version)
    np.testing.assert_array_equal(values_of(folder), DATA)
    chunk = folder / ("c/2/1" if version == 3 else "2.1")
    chunk.unlink()
    path = folder
    if zipped:
        path = tmp_path / "x.zarr.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder).as_posix())
    with pytest.raises(DataError, match="7 of 8 chunks are there"):
        values_of(path)
