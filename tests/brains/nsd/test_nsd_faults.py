"""Every wrong file is named, with what to do about it."""

from __future__ import annotations

import csv
import shutil

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from convergent.brains import open_dataset
from convergent.brains.nsd import example as example
from convergent.brains.nsd.example import write_hdf5, write_mgh, write_nifti
from convergent.brains.nsd.files import DESIGN, IMAGES, STIMULUS_INFO, open_image
from convergent.errors import ConfigError, DataError, IdError, UnknownKeyError
from convergent.study import DatasetConfig

B3 = "betas_fithrf_GLMdenoise_RR"
SURFACE = f"nsddata_betas/ppdata/subj01/fsaverage/{B3}"
NATIVE = f"nsddata_betas/ppdata/subj01/nativesurface/{B3}"
VOLUME = f"nsddata_betas/ppdata/subj04/func1pt8mm/{B3}"
IN_VOLUME = {"space": "func1pt8mm", "subjects": ("subj04",)}


def section(**options):
    return DatasetConfig(
        reader="nsd",
        modality=options.pop("modality", "vision"),
        design="items",
        subjects=options.pop("subjects", ("subj01",)),
        options=options,
    )


def test_nothing_is_read_without_the_agreement(small):
    with pytest.raises(ConfigError, match="sign it at https://naturalscenesdataset.org"):
        open_dataset("nsd", section(data=str(small.directory)))
    with pytest.raises(ConfigError, match="data-use agreement"):
        open_dataset("nsd", section(agreement="yes"))


def test_options_are_checked_when_the_study_is_validated():
    with pytest.raises(ConfigError, match="no mgh betas in func1pt8mm"):
        open_dataset("nsd", section(agreement="accepted", betas_format="mgh"))
    with pytest.raises(ConfigError, match="option 'atlas'"):
        open_dataset("nsd", section(agreement="accepted", atlas="Glasser"))
    with pytest.raises(ConfigError, match="set modality: language"):
        open_dataset("nsd", section(agreement="accepted", captions="first"))
    with pytest.raises(UnknownKeyError, match="subj09"):
        open_dataset("nsd", section(agreement="accepted", subjects=("subj09",)))
    assert open_dataset("nsd", section(agreement="accepted")).subjects()[7] == "subj08"


def test_a_missing_file_is_named_with_where_to_get_it(reader, copy):
    (copy / DESIGN).unlink()
    with pytest.raises(DataError, match=r"nsd_expdesign.mat.*s3://natural-scenes-dataset/nsddata"):
        reader(data=str(copy)).stimuli()


def test_a_missing_session_is_an_error_unless_allowed(reader, copy):
    (copy / SURFACE / "rh.betas_session07.mgh").unlink()
    with pytest.raises(DataError, match="1 files of the 40 sessions are missing: rh.betas_sess"):
        reader(data=str(copy)).responses("subj01")
    brain = reader(data=str(copy), allow_missing_sessions=True).responses("subj01")
    assert brain.attrs["sessions_missing"] == [7]
    assert 7 not in brain.attrs["sessions"] and len(brain.attrs["sessions"]) == 39
    # what is left is joined to the right images
    whole = reader().responses("subj01")
    shared = np.intersect1d(whole.stimulus_id, brain.stimulus_id, return_indices=True)
    same = np.isclose(whole.data[shared[1]], brain.data[shared[2]], atol=1e-6).all(axis=1)
    assert same.sum() > 150
    first = reader(data=str(copy), sessions=6, test="all_shared").responses("subj01")
    assert first.attrs["sessions"] == [1, 2, 3, 4, 5, 6] and first.attrs["sessions_missing"] == []


def test_more_sessions_than_the_subject_completed_are_another_subjects(reader, copy):
    for space in ("fsaverage", "func1pt8mm"):
        folder = copy / f"nsddata_betas/ppdata/subj04/{space}/{B3}"
        for path in sorted(folder.glob("*session30*")):
            shutil.copy(path, path.with_name(path.name.replace("30", "31")))
        with pytest.raises(DataError, match="session 31 of subj04, who completed 30"):
            reader(data=str(copy), space=space).responses("subj04")


def test_a_file_of_the_other_hemisphere_is_refused(reader, copy):
    for side, other in (("lh", "rh"), ("rh", "lh")):
        source = copy / NATIVE / f"{other}.betas_session03.hdf5"
        shutil.copy(source, copy / f"{side}.hdf5")
    for side in ("lh", "rh"):
        shutil.move(copy / f"{side}.hdf5", copy / NATIVE / f"{side}.betas_session03.hdf5")
    with pytest.raises(DataError, match=r"lh.betas_session03.*35.*vertices.*labels of lh.*40"):
        reader(data=str(copy), space="nativesurface").responses("subj01")


def test_a_hemisphere_that_is_a_copy_of_the_other_is_refused(reader, tmp_path):
    made = example.write_experiment(tmp_path / "nsd")
    example.write_surface(made, "subj01", {"lh": 40, "rh": 40}, sessions=(1, 2))
    folder = tmp_path / "nsd" / SURFACE
    shutil.copy(folder / "lh.betas_session02.mgh", folder / "rh.betas_session02.mgh")
    options = {"data": str(tmp_path / "nsd"), "sessions": 2, "test": "all_shared"}
    with pytest.raises(DataError, match="has the betas of lh.betas_session02.mgh"):
        reader(**options).responses("subj01")


def test_a_session_under_two_numbers_is_refused(reader, copy):
    shutil.copy(
        copy / SURFACE / "lh.betas_session02.mgh", copy / SURFACE / "lh.betas_session09.mgh"
    )
    with pytest.raises(DataError, match=r"session09.mgh: session 9 has the betas of lh.*02.mgh"):
        reader(data=str(copy)).responses("subj01")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (f"{SURFACE}/lh.betas_session04.mgh", {}),
        (f"{NATIVE}/lh.betas_session04.hdf5", {"space": "nativesurface"}),
        (f"{VOLUME}/betas_session04.hdf5", IN_VOLUME),
        (f"{VOLUME}/betas_session04.nii.gz", IN_VOLUME | {"betas_format": "nii.gz"}),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_truncated_session_is_named(reader, copy, name, options, share):
    path = copy / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    brain = reader(data=str(copy), **options)
    with pytest.raises(DataError, match=rf"{path.name}: the session is damaged"):
        brain.responses(brain._seen_by[0])


def test_bits_that_flipped_in_a_compressed_session_are_found(reader, copy):
    path = copy / VOLUME / "betas_session04.nii.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="betas_session04.nii.gz: the session is damaged"):
        reader(data=str(copy), **IN_VOLUME, betas_format="nii.gz").responses("subj04")


def test_betas_of_another_scale_are_refused(reader, copy):
    path = copy / VOLUME / "betas_session05.hdf5"
    with h5py.File(path) as file:
        values = file["betas"][()]
    path.unlink()
    write_hdf5(path, "betas", values / np.float32(300), None)
    with pytest.raises(DataError, match="session05.hdf5: betas are float32, and NSD's int16"):
        reader(data=str(copy), **IN_VOLUME).responses("subj04")
    nifti = path.with_name("betas_session05.nii.gz")
    write_nifti(nifti, values.T / np.float32(300))
    with pytest.raises(DataError, match="session05.nii.gz: betas are float32"):
        reader(data=str(copy), **IN_VOLUME, betas_format="nii.gz").responses("subj04")
    surface = copy / SURFACE / "lh.betas_session05.mgh"
    with open_image(surface) as image:
        packed = np.rint(np.asarray(image.dataobj)[:, 0, 0] * 300).astype(np.int16)
    write_mgh(surface, packed)
    with pytest.raises(DataError, match="session05.mgh: betas are int16, and NSD's float32"):
        reader(data=str(copy)).responses("subj01")


def test_a_session_of_other_trials_is_refused(reader, copy):
    path = copy / SURFACE / "lh.betas_session05.mgh"
    with open_image(path) as image:
        values = np.asarray(image.dataobj)[:, 0, 0, :-1]
    write_mgh(path, values)
    with pytest.raises(DataError, match="has 14 trials, the design 15"):
        reader(data=str(copy)).responses("subj01")


def test_targets_without_valid_data_are_left_out_and_counted(reader, copy, caplog):
    path = copy / SURFACE / "lh.betas_session05.mgh"
    with open_image(path) as image:
        values = np.asarray(image.dataobj)[:, 0, 0].copy()
    values[0, 3] = np.nan
    values[1] = 7.0
    write_mgh(path, values)
    brain = reader(data=str(copy)).responses("subj01")
    assert brain.attrs["targets_not_valid"] == 2
    assert "2 of 60 targets are constant or not finite" in caplog.text
    np.testing.assert_array_equal(brain.data, reader().responses("subj01").data[:, 2:])


def test_a_ceiling_far_from_the_distributed_one_is_warned_of(reader, copy, caplog):
    reader().responses("subj01")
    assert "ncsnr" not in caplog.text
    for side, count in (("lh", 40), ("rh", 35)):
        write_mgh(copy / SURFACE / f"{side}.ncsnr.mgh", np.full(count, 3, np.float32))
    brain = reader(data=str(copy)).responses("subj01")
    assert brain.attrs["ncsnr_against_distributed"]["median_difference"] < -1
    assert "from NSD's own" in caplog.text
    (copy / SURFACE / "lh.ncsnr.mgh").unlink()
    assert reader(data=str(copy)).responses("subj01").attrs["ncsnr_against_distributed"] is None


def rewrite(path, **changed):
    content = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    savemat(path, content | changed)
    return content


def test_ids_that_do_not_belong_together_are_refused(reader, copy):
    content = rewrite(copy / DESIGN, masterordering=np.full((1, 600), 201))
    with pytest.raises(IdError, match="masterordering names images outside the 200"):
        reader(data=str(copy)).stimuli()
    images = content["subjectim"].copy()
    images[3, 5] = images[3, 6]
    rewrite(copy / DESIGN, **content | {"subjectim": images})
    with pytest.raises(IdError, match="images of subj04 occur twice"):
        reader(data=str(copy)).stimuli()
    images = content["subjectim"].copy()
    images[0, 100] = 999999
    rewrite(copy / DESIGN, **content | {"subjectim": images})
    with pytest.raises(IdError, match="1 images outside the 1460 of the file, such as 999999"):
        reader(data=str(copy)).stimuli()
    rewrite(copy / DESIGN, **content | {"sharedix": content["sharedix"][:, 1:]})
    with pytest.raises(IdError, match="shared1000 marks other images"):
        reader(data=str(copy)).stimuli()
    rewrite(copy / DESIGN, **content | {"masterordering": content["masterordering"][:, :-1]})
    with pytest.raises(DataError, match="599 trials do not make sessions of"):
        reader(data=str(copy)).stimuli()
    (copy / DESIGN).write_bytes(b"MATLAB 5.0 MAT-file, cut")
    with pytest.raises(DataError, match=r"nsd_expdesign.mat: the file cannot be read"):
        reader(data=str(copy)).stimuli()


def test_a_damaged_table_or_brick_is_refused(reader, copy):
    with (copy / STIMULUS_INFO).open() as file:
        rows = list(csv.reader(file))
    with (copy / STIMULUS_INFO).open("w", newline="") as file:
        csv.writer(file).writerows(row[:4] for row in rows)
    with pytest.raises(DataError, match=r"not NSD's table of stimuli .*nsdId"):
        reader(data=str(copy)).stimuli()
    shutil.copy(reader()._folder.path / STIMULUS_INFO, copy / STIMULUS_INFO)
    (copy / IMAGES).write_bytes(b"not HDF5")
    with pytest.raises(DataError, match="nsd_stimuli.hdf5: not NSD's images"):
        reader(data=str(copy)).stimuli()


def test_labels_without_a_name_are_refused(reader, copy):
    names = copy / "nsddata/freesurfer/fsaverage/label/HCP_MMP1.mgz.ctab"
    text = names.read_text()
    names.write_text(text.replace("8 4\n", ""))
    with pytest.raises(DataError, match="labels without a name: 8"):
        reader(data=str(copy)).responses("subj01")
    names.write_text(text + "nonsense\n")
    with pytest.raises(DataError, match=r"HCP_MMP1.mgz.ctab, line 6: 'nonsense' is not a number"):
        reader(data=str(copy)).responses("subj01")


def test_no_test_image_and_no_reliable_target_are_errors(reader):
    with pytest.raises(DataError, match="no image was seen three times by all subjects"):
        reader(sessions=1).stimuli()
    with pytest.raises(DataError, match="none of 60 targets .* ceiling of at least 0.99"):
        reader(min_noise_ceiling=0.99).responses("subj01")
    with pytest.raises(UnknownKeyError, match="did you mean"):
        reader().responses("subj10")
