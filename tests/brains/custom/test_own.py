"""One's own data: every format gives the same numbers, and every mistake its own error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
import zarr

from convergent.brains import open_dataset
from convergent.brains.custom import OwnData, write_example
from convergent.errors import (
    ConfigError,
    ConvergentError,
    DataError,
    IdError,
    NumericalError,
    UnknownKeyError,
)
from convergent.study.config import DatasetConfig


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_example(tmp_path / "images")


@pytest.fixture
def story(tmp_path: Path) -> Path:
    return write_example(tmp_path / "story", "story")


def edit(path: Path, **changes: Any) -> Path:
    """Change keys of the YAML file: ``responses__files="x"``; None removes one."""
    config = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = config
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
        if value is None:
            del node[last]
    path.write_text(yaml.safe_dump(config))
    return path


def read(path: Path, subject: str = "01"):
    return OwnData(file=str(path)).responses(subject)


def test_repeats_are_averaged_by_id_whatever_their_order(images):
    brain = read(images)
    raw = np.load(images.parent / "sub-01_betas.npy")
    shown = np.array((images.parent / "sub-01_events.tsv").read_text().split()[1:])
    assert brain.stimulus_id.tolist() == sorted(set(shown))
    for number in (0, 17, 59):
        expected = raw[shown == brain.stimulus_id[number]].mean(axis=0)
        np.testing.assert_allclose(brain.data[number], expected, rtol=1e-6)
    order = np.random.default_rng(0).permutation(len(shown))
    np.save(images.parent / "sub-01_betas.npy", raw[order])
    (images.parent / "sub-01_events.tsv").write_text("stimulus_id\n" + "\n".join(shown[order]))
    np.testing.assert_allclose(read(images).data, brain.data, rtol=1e-6)


def test_stimuli_split_and_regions_are_as_written(images):
    reader = OwnData(file=str(images), name="mine")
    stimuli = reader.stimuli()
    assert stimuli.images.shape == (60, 32, 32, 3)
    assert (stimuli.split == "test").sum() == 15
    assert reader.subjects() == ("01", "02")
    regions = {region.name: region for region in reader.regions()}
    assert (regions["R_V1"].hemisphere, regions["L_FFC"].network) == ("R", "Visual")
    assert regions["L_V1"].order == 0 < regions["L_FFC"].order


def test_images_are_cut_to_a_square_and_resized(images):
    edit(images, stimuli__size=16)
    assert OwnData(file=str(images)).stimuli().images.shape == (60, 16, 16, 3)


def test_ceilings_are_the_planted_ones_of_repeats_and_subjects(images, story):
    edit(images, stimuli__split=None)  # planted in all 60 images, not in the 15 of the test side
    found = read(images).noise_ceiling.reshape(4, 5).mean(axis=1)
    np.testing.assert_allclose(found[:3], 2 / 3, atol=0.08)
    assert found[3] < 0.25
    edit(images, ceilings={"from": "split-half"})
    np.testing.assert_allclose(read(images).noise_ceiling[:15].mean(), 2 / 3, atol=0.08)
    edit(images, ceilings={"from": "subjects"})  # of averages of two: (2 / 3) ^ 2
    np.testing.assert_allclose(read(images).noise_ceiling[:15].mean(), 4 / 9, atol=0.08)
    shared = read(story).noise_ceiling.reshape(4, 5).mean(axis=1)
    np.testing.assert_allclose(shared[:3], 1 / 4, atol=0.08)


@pytest.mark.parametrize(
    ("units", "value", "expected"),
    [("r2", 0.25, 0.25), ("r", 0.5, 0.25), ("percent", 25, 0.25), ("ncsnr", 1.0, 2 / 3)],
)
def test_given_ceilings_are_brought_to_r2(images, units, value, expected):
    np.save(images.parent / "nc-01.npy", np.full(20, value))
    edit(images, ceilings={"from": "file", "file": "nc-{subject}.npy", "units": units})
    np.testing.assert_allclose(read(images).noise_ceiling, expected)


def save_nifti(folder: Path, data: np.ndarray, extra: dict[str, Any]) -> None:
    mask = np.zeros((4, 4, 3), dtype=np.uint8)
    mask[1:3, :, :] = 1
    mask[1, 0, :] = mask[2, 0, 0] = 0
    volume = np.full((4, 4, 3, len(data)), 99.0, dtype=np.float32)
    volume[mask == 1] = data.T
    nib.save(nib.Nifti1Image(mask, np.eye(4)), folder / "mask.nii.gz")
    nib.save(nib.Nifti1Image(volume, np.eye(4)), folder / "sub-01_x.nii.gz")
    extra["responses__mask"] = "mask.nii.gz"
    extra["responses__files"] = "sub-{subject}_x.nii.gz"


def save_gifti(folder: Path, data: np.ndarray, extra: dict[str, Any]) -> None:
    for side, part in (("L", data[:, :8]), ("R", data[:, 8:])):
        maps = [nib.gifti.GiftiDataArray(row.astype(np.float32)) for row in part]
        image = nib.gifti.GiftiImage(darrays=maps)
        nib.save(image, folder / f"sub-01_hemi-{side}_x.func.gii")
    extra["responses__files"] = "sub-{subject}_hemi-{hemi}_x.func.gii"


def save_cifti(folder: Path, data: np.ndarray, extra: dict[str, Any]) -> None:
    brain = nib.cifti2.BrainModelAxis.from_mask(np.ones(20), "CIFTI_STRUCTURE_CORTEX_LEFT")
    rows = nib.cifti2.ScalarAxis([str(number) for number in range(len(data))])
    nib.save(nib.Cifti2Image(data, (rows, brain)), folder / "sub-01_x.dscalar.nii")
    extra["responses__files"] = "sub-{subject}_x.dscalar.nii"


def save_mgh(folder: Path, data: np.ndarray, extra: dict[str, Any]) -> None:
    for side, part in (("lh", data[:, :8]), ("rh", data[:, 8:])):
        cube = part.T.reshape(part.shape[1], 1, 1, -1).astype(np.float32)
        nib.save(nib.MGHImage(cube, np.eye(4)), folder / f"{side}.sub-01_x.mgh")
    extra["responses__files"] = "{hemi}.sub-{subject}_x.mgh"


def save_zarr(folder: Path, data: np.ndarray, extra: dict[str, Any]) -> None:
    group = zarr.open_group(folder / "sub-01_x.zarr", mode="w")
    group.create_array("betas", data=data)
    group.create_array("other", data=data * 2)
    extra |= {"responses__files": "sub-{subject}_x.zarr", "responses__key": "betas"}


def save_npz(folder: Path, data: np.ndarray, extra: dict[str, Any]) -> None:
    np.savez(folder / "sub-01_x.npz", betas=data.T)
    extra |= {"responses__files": "sub-{subject}_x.npz", "responses__samples": 1}


def save_runs(folder: Path, data: np.ndarray, extra: dict[str, Any]) -> None:
    ids = (folder / "sub-01_events.tsv").read_text().split()[1:]
    for run, rows in (("10", slice(70, None)), ("2", slice(0, 70))):
        np.save(folder / f"sub-01_run-{run}_x.npy", data[rows])
        (folder / f"sub-01_run-{run}.txt").write_text("\n".join(ids[rows]))
    extra["responses__files"] = "sub-{subject}_run-{run}_x.npy"
    extra["responses__ids"] = "sub-{subject}_run-{run}.txt"
    extra["ceilings"] = {"from": "none"}


@pytest.mark.parametrize(
    "save", [save_nifti, save_gifti, save_cifti, save_mgh, save_zarr, save_npz, save_runs]
)
def test_every_format_gives_the_same_responses(images, save):
    expected = read(images).data
    extra: dict[str, Any] = {}
    save(images.parent, np.load(images.parent / "sub-01_betas.npy"), extra)
    edit(images, **extra)
    reader = OwnData(file=str(images))
    assert reader.subjects() == ("01",)
    np.testing.assert_allclose(reader.responses("01").data, expected, rtol=1e-5)


def test_label_volumes_name_the_targets_and_those_outside_are_left_out(images):
    extra: dict[str, Any] = {}
    save_nifti(images.parent, np.load(images.parent / "sub-01_betas.npy"), extra)
    mask = np.asarray(nib.load(images.parent / "mask.nii.gz").dataobj)
    keys = np.zeros(mask.shape, dtype=np.int16)
    keys[mask == 1] = np.repeat([1, 2, 0, 7], 5)
    nib.save(nib.Nifti1Image(keys, np.eye(4)), images.parent / "atlas.nii.gz")
    (images.parent / "names.tsv").write_text("key\tregion\n1\tV1\n2\tFFC\n7\tlh.4\n")
    edit(images, **extra, regions={"image": "atlas.nii.gz", "names": "names.tsv"})
    brain = read(images)
    assert brain.region.tolist() == ["V1"] * 5 + ["FFC"] * 5 + ["lh.4"] * 5
    assert brain.attrs["targets_left_out"] == 5
    (images.parent / "names.tsv").write_text("key\tregion\n1\tV1\n2\tFFC\n")
    with pytest.raises(DataError, match=r"label 7 of atlas\.nii\.gz has no name"):
        read(images)
    nib.save(nib.Nifti1Image(keys, 2 * np.eye(4)), images.parent / "atlas.nii.gz")
    with pytest.raises(DataError, match="another grid than the mask"):
        read(images)


def test_an_atlas_labels_surface_targets_and_hemispheres_may_be_merged(images):
    rng = np.random.default_rng(0)
    np.save(images.parent / "sub-01_betas.npy", rng.normal(size=(120, 91282)).astype(np.float32))
    edit(images, regions={"atlas": "yeo-7", "space": "cifti91k"}, ceilings={"from": "none"})
    brain = read(images)
    assert len(set(brain.region)) == 14
    assert brain.data.shape[1] < 59412 + 1
    edit(images, regions__hemispheres="merged")
    reader = OwnData(file=str(images))
    assert len(set(reader.responses("01").region)) == 7
    visual = {region.name: region for region in reader.regions()}["Visual"]
    assert (visual.hemisphere, visual.network) == ("", "Visual")


def test_a_table_describes_regions_that_no_atlas_has(images):
    names = ["alpha", "beta", "gamma", "delta"]
    (images.parent / "targets.tsv").write_text("region\n" + "".join(f"{n}\n" * 5 for n in names))
    rows = "alpha\tL\tears\t0.1\nbeta\tR\tears\t\ngamma\t\t\t0.5\ndelta\tL\t\t1\n"
    (images.parent / "regions.tsv").write_text("region\themisphere\tnetwork\torder\n" + rows)
    edit(images, regions={"labels": "targets.tsv", "table": "regions.tsv"})
    alpha, beta, *_ = OwnData(file=str(images)).regions()
    assert (alpha.hemisphere, alpha.network, alpha.order) == ("L", "ears", 0.1)
    assert np.isnan(beta.order)
    (images.parent / "regions.tsv").write_text("region\nalpha\nbeta\ngamma\ndeltas\n")
    with pytest.raises(DataError, match="region 'delta' of the targets is not listed.*'deltas'"):
        OwnData(file=str(images)).regions()


def test_missing_and_constant_targets_may_be_left_out(images):
    path = images.parent / "sub-01_betas.npy"
    data = np.load(path)
    data[3, 0], data[:, 7] = np.nan, 5.0
    np.save(path, data)
    with pytest.raises(NumericalError, match=r"1 targets \(regions L_V1\)"):
        read(images)
    edit(images, responses__drop=["missing", "constant"])
    brain = read(images)
    assert brain.data.shape == (60, 18)
    assert brain.attrs["targets_left_out"] == 2


def test_sessions_are_standardised_each(images):
    folder = images.parent
    ids = (folder / "sub-01_events.tsv").read_text().split()[1:]
    rows = "".join(f"{name}\t{number // 60}\n" for number, name in enumerate(ids))
    (folder / "sub-01_events.tsv").write_text("stimulus_id\tsession\n" + rows)
    data = np.load(folder / "sub-01_betas.npy")
    edit(images, responses__session="session", responses__standardise="session")
    expected = read(images)
    data[60:] = 3 * data[60:] + 100
    np.save(folder / "sub-01_betas.npy", data)
    changed = read(images)
    np.testing.assert_allclose(changed.data, expected.data, atol=1e-4)
    np.testing.assert_allclose(changed.noise_ceiling, expected.noise_ceiling, atol=1e-4)


def damage_unknown(folder: Path) -> None:
    path = folder / "sub-01_events.tsv"
    path.write_text(path.read_text().replace("image017", "image17"))


def damage_duplicate(folder: Path) -> None:
    path = folder / "stimuli.tsv"
    path.write_text(path.read_text().replace("image001\t", "image002\t", 1))


def damage_rows(folder: Path) -> None:
    path = folder / "sub-01_events.tsv"
    path.write_text("\n".join(path.read_text().split()[:-1]))


def damage_empty(folder: Path) -> None:
    path = folder / "sub-01_events.tsv"
    rows = [f"{name}\t1" for name in path.read_text().replace("image017", " ").split("\n") if name]
    path.write_text("\n".join(["stimulus_id\trun", *rows[1:]]))


def damage_image(folder: Path) -> None:
    (folder / "images" / "image004.png").unlink()


def damage_axes(folder: Path) -> None:
    np.save(folder / "sub-01_betas.npy", np.load(folder / "sub-01_betas.npy")[None])


def damage_transposed(folder: Path) -> None:
    np.save(folder / "sub-01_betas.npy", np.load(folder / "sub-01_betas.npy").T)


def damage_labels(folder: Path) -> None:
    path = folder / "targets.tsv"
    path.write_text("\n".join(path.read_text().split()[:-1]))


def damage_region(folder: Path) -> None:
    path = folder / "targets.tsv"
    path.write_text(path.read_text().replace("L_FFC", "L_FFCC"))


def damage_split(folder: Path) -> None:
    path = folder / "stimuli.tsv"
    path.write_text(path.read_text().replace("\ttest", "\tvalidation"))


def damage_column(folder: Path) -> None:
    path = folder / "sub-01_events.tsv"
    path.write_text(path.read_text().replace("stimulus_id", "stimulus"))


def damage_text(folder: Path) -> None:
    np.save(folder / "sub-01_betas.npy", np.full((120, 20), "a"))


def damage_gone(folder: Path) -> None:
    (folder / "sub-01_events.tsv").unlink()


def damage_sizes(folder: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 9)).save(folder / "images" / "image030.png")


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (damage_unknown, IdError, "1 of 60 responses answer unknown stimuli: image17.*image017"),
        (damage_duplicate, IdError, "stimulus ids occur more than once: image002"),
        (damage_rows, IdError, "119 ids for 120 samples"),
        (damage_empty, DataError, r"2 cells of column 'stimulus_id' are empty"),
        (damage_image, DataError, r"1 of 60 images are missing: image004\.png"),
        (damage_axes, DataError, r"array of shape \(1, 120, 20\)"),
        (damage_transposed, IdError, "120 ids for 20 samples.*samples: 1"),
        (damage_labels, DataError, "19 region labels for 20 targets"),
        (damage_region, UnknownKeyError, "'L_FFCC' is not in atlas 'hcp-mmp1'.*'FFC'"),
        (damage_split, DataError, "split 'validation' of a stimulus"),
        (damage_column, DataError, "no column 'stimulus_id'.*'stimulus'.*responses.id"),
        (damage_text, DataError, "values of type <U1"),
        (damage_gone, DataError, "there is no such file"),
        (damage_sizes, DataError, r"image of 8 x 9 pixels, the first has 32 x 32.*stimuli\.size"),
    ],
)
def test_every_mistake_in_the_files_has_its_error(images, damage, kind, message):
    damage(images.parent)
    reader = OwnData(file=str(images))
    with pytest.raises(kind, match=message):
        reader.stimuli()
        reader.regions()
        reader.responses("01")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalty": "vision"}, "unknown key 'modalty'.*'modality'"),
        ({"responses__file": "x"}, "unknown key 'responses.file'.*'files'"),
        ({"responses__ids": None}, "items need responses.ids"),
        ({"regions": {}}, "none given: name exactly one"),
        ({"regions": {"labels": "a", "whole": "b"}}, "labels and whole given"),
        ({"regions": {"atlas": "yeo-7"}}, "atlas and space go together"),
        ({"ceilings": {"from": "file"}}, "'from: file' and 'file' go together"),
        ({"design": "story"}, "a story is of modality language"),
        ({"stimuli__images": None}, "vision needs stimuli.images"),
        ({"responses__standardise": "session"}, "needs responses.session"),
        ({"stimuli": None}, "key 'stimuli' is missing"),
    ],
)
def test_every_mistake_in_the_description_is_named(images, changes, message):
    edit(images, **changes)
    with pytest.raises(ConfigError, match=message):
        OwnData(file=str(images)).stimuli()


def test_ceilings_outside_their_range_and_of_another_length_are_refused(images):
    edit(images, ceilings={"from": "file", "file": "nc.npy"})
    np.save(images.parent / "nc.npy", np.full(20, 25.0))
    with pytest.raises(DataError, match="20 ceilings outside 0 to 1, such as 25.*percent"):
        read(images)
    np.save(images.parent / "nc.npy", np.full(19, 0.5))
    with pytest.raises(DataError, match="19 ceilings for 20 targets"):
        read(images)


def test_subjects_of_other_spaces_cannot_predict_each_other(story):
    path = story.parent / "sub-02_bold.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DataError, match="different targets or volumes"):
        read(story)


def test_exchanged_or_missing_hemispheres_are_errors(images):
    extra: dict[str, Any] = {}
    save_gifti(images.parent, np.load(images.parent / "sub-01_betas.npy"), extra)
    edit(images, **extra)
    (images.parent / "sub-01_hemi-R_x.func.gii").unlink()
    with pytest.raises(DataError, match="files of both hemispheres are not there: found L"):
        read(images)
    rows = "region\themisphere\nL_V1\tR\nR_V1\tR\nL_FFC\tL\nL_4\tL\n"
    (images.parent / "regions.tsv").write_text(rows)
    edit(images, regions__table="regions.tsv")
    with pytest.raises(DataError, match="'L_V1' is said to lie in hemisphere 'R'"):
        OwnData(file=str(images)).regions()


def test_words_that_run_backwards_are_refused(story):
    path = story.parent / "words.tsv"
    lines = path.read_text().splitlines()
    lines[5], lines[6] = lines[6], lines[5]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="begins before the one before it"):
        OwnData(file=str(story)).stimuli()


def test_it_is_a_registered_reader_whose_kind_the_file_says(images):
    settings = {"reader": "own", "design": "items", "subjects": ("01",)}
    options = {"file": str(images)}
    reader = open_dataset("mine", DatasetConfig(modality="vision", options=options, **settings))
    assert reader.stimuli().name == "mine"
    with pytest.raises(ConvergentError, match="modality is 'language' but reader 'own'"):
        open_dataset("mine", DatasetConfig(modality="language", options=options, **settings))


def test_an_example_is_not_written_over_something(images):
    with pytest.raises(DataError, match="not empty"):
        write_example(images.parent)
