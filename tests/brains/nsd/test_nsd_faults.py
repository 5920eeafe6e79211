"""Every wrong file is named, with what to do about it."""

from __future__ import annotations

import csv
import re
import shutil

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from convergent.brains import open_dataset
from convergent.brains.nsd import example
from convergent.brains.nsd.example import write_hdf5, write_mgh, write_nifti
from convergent.brains.nsd.files import (
    DESIGN,
    IMAGES,
    SIZES,
    STIMULUS_INFO,
    behaviour_file,
    open_image,
)
from convergent.brains.nsd.reader import NsdReader
from convergent.brains.nsd.stimuli import StimulusImages
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
    for key in ("atlas", "mask"):
        options = {"agreement": "accepted", "space": "fsaverage", key: "floc-faces"}
        with pytest.raises(ConfigError, match="'floc-faces' was drawn in each subject"):
            open_dataset("nsd", section(**options))
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
    for side in ("lh", "rh"):
        with open_image(copy / SURFACE / f"{side}.ncsnr.mgh") as image:
            values = np.asarray(image.dataobj).reshape(-1)
        write_mgh(copy / SURFACE / f"{side}.ncsnr.mgh", np.float32(2) * values)
    compared = reader(data=str(copy)).responses("subj01").attrs["ncsnr_against_distributed"]
    assert compared["median_difference"] < -0.5
    assert 0.5 < compared["agreement"] < 0.8
    assert "from NSD's own" in caplog.text
    assert "times (± " in caplog.text
    write_mgh(copy / SURFACE / "lh.ncsnr.mgh", np.full(40, 30, np.float32))
    write_mgh(copy / SURFACE / "rh.ncsnr.mgh", np.full(35, 30, np.float32))
    with pytest.raises(DataError, match="agree 0.* times .* as much as NSD's ncsnr says"):
        reader(data=str(copy)).responses("subj01")
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
    with pytest.raises(IdError, match="1 images outside the 1460 of the file, such as 999999"):
        StimulusImages(copy / IMAGES, np.array([3, 999999]))
    rewrite(copy / DESIGN, **content | {"sharedix": content["sharedix"][:, 1:]})
    with pytest.raises(IdError, match="shared1000 marks other images"):
        reader(data=str(copy)).stimuli()
    rewrite(copy / DESIGN, **content | {"masterordering": content["masterordering"][:, :-1]})
    with pytest.raises(DataError, match="599 trials do not make sessions of"):
        reader(data=str(copy)).stimuli()
    (copy / DESIGN).write_bytes(b"MATLAB 5.0 MAT-file, cut")
    with pytest.raises(DataError, match=r"nsd_expdesign.mat: the file cannot be read"):
        reader(data=str(copy)).stimuli()


def test_the_design_of_another_subject_or_order_is_found(reader, copy):
    content = rewrite(copy / DESIGN)
    rewrite(copy / DESIGN, **content | {"subjectim": content["subjectim"][[1, 0, *range(2, 8)]]})
    with pytest.raises(IdError, match="subject1_rep0 has image .* at trial .* the design another"):
        reader(data=str(copy)).stimuli()
    answers = re.escape(behaviour_file("subj01"))
    with pytest.raises(IdError, match=rf"{answers}: session 1 showed other images"):
        reader(data=str(copy)).responses("subj01")
    rewrite(copy / DESIGN, **content | {"masterordering": np.roll(content["masterordering"], 1)})
    with pytest.raises(IdError, match=rf"{answers}: session 1 showed other images .*order"):
        reader(data=str(copy)).responses("subj01")


def test_exchanged_folders_of_subjects_are_found(reader, copy):
    one, other = (copy / f"nsddata/ppdata/{name}" for name in ("subj01", "subj04"))
    shutil.move(one / "behav", copy / "behav")
    shutil.move(other / "behav", one / "behav")
    with pytest.raises(DataError, match="SUBJECT is 4 in the folder of subj01"):
        reader(data=str(copy)).responses("subj01")
    (one / "behav/responses.tsv").write_text("SUBJECT\tSESSION\n1\t1\n")
    with pytest.raises(DataError, match="not NSD's table of answers .*73KID"):
        reader(data=str(copy)).responses("subj01")


def test_labels_of_another_subjects_size_are_refused(reader, copy):
    shape = (82, 106, 84)  # subj02's, by NSD's manual
    labels = np.zeros(shape, dtype=np.float32)
    for side in ("lh", "rh"):
        write_nifti(copy / f"nsddata/ppdata/subj04/func1pt8mm/roi/{side}.HCP_MMP1.nii.gz", labels)
    with pytest.raises(DataError, match=r"those are subj02's, and subj04 has \(85, 99, 80\)"):
        reader(data=str(copy), **IN_VOLUME).responses("subj04")
    folder = copy / "nsddata/freesurfer/subj01/label"
    write_mgh(folder / "lh.HCP_MMP1.mgz", np.zeros(239633, dtype=np.int32))
    with pytest.raises(DataError, match="lh labels .*those are subj02's.*227021"):
        reader(data=str(copy), space="nativesurface").responses("subj01")
    sizes = [size for both in SIZES.values() for size in (both[0], *both[1])]
    assert len(set(sizes)) == 24


def test_one_subjects_betas_in_two_folders_are_found(reader, copy):
    for side in ("lh", "rh"):
        for number in (1, 2, 3):
            name = f"{side}.betas_session{number:02d}.mgh"
            shutil.copy(copy / SURFACE.replace("subj01", "subj04") / name, copy / SURFACE / name)
    with pytest.raises(DataError, match="has the betas of .*subj04.* lie in both folders"):
        reader(data=str(copy), sessions=3, test="all_shared").responses("subj01")


@pytest.fixture(scope="module")
def weak(tmp_path_factory):
    """A fifth of NSD, with the signal of a whole cortex: little in most vertices."""
    folder = tmp_path_factory.mktemp("weak")
    made = example.write_experiment(folder, scale=5, images=False)
    areas = {1: ("V1", 0.35), 2: ("MST", 0.02), 4: ("V2", 0.0), 8: ("4", 0.0)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example, "AREAS", areas)
        example.write_surface(made, "subj04", {"lh": 100, "rh": 100})
    (folder / behaviour_file("subj04")).unlink()
    return folder


def test_trials_in_another_order_are_found_where_little_is_explained(weak, tmp_path):
    def read(**options):
        given = {"data": str(weak), "agreement": "accepted", "scratch": str(tmp_path)}
        return NsdReader(subjects=("subj04",), space="fsaverage", **given, **options).responses(
            "subj04"
        )

    compared = read().attrs["ncsnr_against_distributed"]
    assert compared["agreement"] == pytest.approx(1, abs=4 * compared["agreement_error"])
    assert compared["agreement_error"] < 0.1
    folder = weak / SURFACE.replace("subj01", "subj04")
    with open_image(folder / "lh.ncsnr.mgh") as image:
        assert np.median(np.asarray(image.dataobj)) < 0.1  # less than what medians may differ
    content = rewrite(weak / DESIGN)
    mixed = np.random.default_rng(0).permutation(content["masterordering"].ravel())[None]
    for order in (mixed, np.roll(content["masterordering"], 1)):
        rewrite(weak / DESIGN, **content | {"masterordering": order})
        with pytest.raises(DataError, match=r"trials of one image agree -?0\.\d+ times"):
            read()
    rewrite(weak / DESIGN, **content)
    for side in ("lh", "rh"):
        one, other = (folder / f"{side}.betas_session{n}.mgh" for n in (12, 25))
        one.rename(folder / "kept")
        other.rename(one)
        (folder / "kept").rename(other)
    with pytest.raises(DataError, match=r"trials of session (12|25) agree with earlier ones"):
        read()


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
