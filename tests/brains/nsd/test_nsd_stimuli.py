"""Images, captions and regions, and how fits divide them."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from convergent.brains import Responses
from convergent.brains.nsd import example
from convergent.brains.nsd.files import CAPTIONS, DESIGN
from convergent.errors import DataError, IdError
from convergent.pipeline.samples import Samples
from convergent.store import Store
from convergent.study import FitConfig


def test_images_are_those_of_their_ids(reader, small):
    stimuli = reader().stimuli()
    number = [int(name[3:]) for name in stimuli.ids]
    squares = stimuli.images[:][:, 4::8, 4::8, 0].reshape(len(stimuli), 9).astype(float)
    np.testing.assert_allclose((squares - 128) / 36, small.latents[np.array(number) - 1], atol=0.6)
    np.testing.assert_array_equal(stimuli.images[3], stimuli.images[np.array([3])][0])
    np.testing.assert_array_equal(stimuli.images.read(2, 5), stimuli.images[2:5])
    assert stimuli.images.shape[1:] == (24, 24, 3) and stimuli.images.nbytes == 191 * 24 * 24 * 3
    assert stimuli.digest == reader().stimuli().digest


def test_versions_of_matlab_files_say_the_same(reader, copy):
    before = reader().stimuli()
    example.write_experiment(copy, version="7.3")
    assert (copy / DESIGN).read_bytes().startswith(b"MATLAB 7.3")
    after = reader(data=str(copy)).stimuli()
    assert after.digest == before.digest
    np.testing.assert_array_equal(after.split, before.split)


def captions_of(small, number):
    words = ("dark", "dim", "grey", "pale", "bright")
    levels = np.clip(np.rint(small.latents[number - 1] + 2), 0, 4).astype(int)
    return [f"A {words[levels[k]]} square {k + 1} of a picture." for k in range(5)]


def test_captions_stand_for_images(reader, small):
    first, whole = (reader(captions=choice).stimuli() for choice in ("first", "all"))
    images = reader().stimuli()
    np.testing.assert_array_equal(first.ids, images.ids)
    np.testing.assert_array_equal(first.split, images.split)
    for place, name in enumerate(first.ids.tolist()):
        five = captions_of(small, int(name[3:]))
        assert first.texts[place] == five[0]
        assert whole.texts[place] == " ".join(five)
    assert first.modality == reader(captions="first").modality == "language"


def test_features_of_five_captions_are_averaged(reader, small):
    stimuli = reader(captions="mean").stimuli()
    assert len(stimuli) == 5 * 191 and stimuli.ids[6] == f"{stimuli.item[5]}-2"
    assert list(stimuli.texts[:5]) == captions_of(small, int(stimuli.item[0][3:]))
    np.testing.assert_array_equal(stimuli.answered, reader().stimuli().ids)
    brain = reader().responses("subj01")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(stimuli))
    values = rng.normal(size=(len(stimuli), 3)).astype(np.float32)
    store = Store("f", {"features": values[order], "stimulus_id": stimuli.ids[order]}, {}, {})
    samples = Samples.join(store, stimuli, brain, FitConfig())
    assert samples.count == 191
    for place in (0, 77, 190):
        mine = stimuli.item == samples.ids[place]
        np.testing.assert_allclose(samples.features[place], values[mine].mean(axis=0), rtol=1e-5)
        assert samples.side[place] == stimuli.split[mine][0]
        assert brain.stimulus_id[samples.rows[place]] == samples.ids[place]
    short = Store("f", {"features": values[1:], "stimulus_id": stimuli.ids[1:]}, {}, {})
    with pytest.raises(IdError):
        Samples.join(short, stimuli, brain, FitConfig())


def test_captions_that_are_missing_or_damaged_are_named(reader, copy):
    path = copy / CAPTIONS[0]
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"annotations": content["annotations"][1:]}))
    with pytest.raises(IdError, match="images have fewer than 5 captions"):
        # an image that no subject saw may lose its caption: take all
        every = tuple(f"subj{k:02d}" for k in range(1, 9))
        reader(data=str(copy), captions="first", subjects=every, test="all_shared").stimuli()
    path.write_text("[]")
    with pytest.raises(DataError, match="captions_train2017.json: not COCO's captions"):
        reader(data=str(copy), captions="first").stimuli()
    path.unlink()
    with pytest.raises(DataError, match="annotations_trainval2017.zip"):
        reader(data=str(copy), captions="first").stimuli()


def test_regions_are_described_by_hemisphere_or_merged(reader):
    apart, merged = reader().regions(), reader(merge_hemispheres=True).regions()
    names = [name for name, _ in example.AREAS.values()]
    assert [r.name for r in apart] == [f"{side}_{name}" for side in "LR" for name in names]
    assert [r.hemisphere for r in apart] == ["L"] * 4 + ["R"] * 4
    assert [r.name for r in merged] == names and {r.hemisphere for r in merged} == {""}
    order = {r.name: r.order for r in merged}
    assert order["V1"] == 0 and order["V1"] < order["V2"] < order["MST"]
    assert set(reader(merge_hemispheres=True).responses("subj01").region) == set(names)
    streams = reader(atlas="streams")
    described = {r.name: r.order for r in streams.regions()}
    assert described["L_early"] == 0 and described["R_ventral"] == 1
    assert set(streams.responses("subj01").region) <= set(described)


def test_a_mask_keeps_the_targets_inside_it(reader):
    inside = reader(mask="nsdgeneral").responses("subj01")
    assert set(inside.region) == {"L_V1", "R_V1"}  # the odd label
    whole = reader().responses("subj01")
    mine = np.isin(whole.region, ["L_V1", "R_V1"])
    np.testing.assert_array_equal(inside.data, whole.data[:, mine])
    general = reader(atlas="nsdgeneral", merge_hemispheres=True).responses("subj01")
    assert set(general.region) == {"nsdgeneral"}


@pytest.mark.parametrize("atlas", sorted(example.DRAWN))
def test_areas_drawn_in_a_subject_are_regions_and_their_background_is_none(reader, small, atlas):
    few = {"sessions": 2, "test": "all_shared"}
    volume = {"space": "func1pt8mm", "subjects": ("subj04",), "atlas": atlas} | few
    roi = small.directory / "nsddata/ppdata/subj04/func1pt8mm/roi"
    labels = {h: np.asarray(nib.load(roi / f"{h}.{atlas}.nii.gz").dataobj) for h in ("lh", "rh")}
    assert all(np.isin([-1, 0], values).all() for values in labels.values())
    brain = reader(**volume).responses("subj04")
    for side, values in zip("LR", labels.values(), strict=True):
        for number, name in enumerate(example.DRAWN[atlas], start=1):
            assert (brain.region == f"{side}_{name}").sum() == (values == number).sum()
    assert brain.region.size == sum(int((values > 0).sum()) for values in labels.values())
    names = [region.name for region in reader(**volume).regions()]
    assert names == [f"{side}_{name}" for side in "LR" for name in example.DRAWN[atlas]]
    native = reader(space="nativesurface", atlas=atlas, **few).responses("subj01")
    assert native.region.size and set(native.region) <= set(names)
    masked = reader(space="nativesurface", mask=atlas, **few).responses("subj01")
    assert masked.region.size == native.region.size
    assert not set(masked.region) & set(names)  # HCP-MMP1's, where the mask has areas


def test_targets_are_chosen_by_their_noise_ceiling(reader):
    whole, some = reader().responses("subj01"), reader(min_noise_ceiling=0.5).responses("subj01")
    kept = whole.noise_ceiling >= 0.5
    np.testing.assert_array_equal(some.data, whole.data[:, kept])
    assert some.attrs["targets_below_noise_ceiling"] == (~kept).sum() > 0


def test_single_trials_of_an_image_stay_on_one_side(reader):
    stimuli = reader().stimuli()
    brain = reader(repeats="single").responses("subj01")
    features = Store("f", {"features": np.ones((191, 2)), "stimulus_id": stimuli.ids}, {}, {})
    samples = Samples.join(features, stimuli, brain, FitConfig())
    assert samples.count == brain.data.shape[0] > 500
    assert (brain.stimulus_id[samples.rows] == samples.groups).all()
    (split,) = samples.splits(FitConfig())
    assert not set(samples.groups[split.train]) & set(samples.groups[split.test])
    assert split.train.size + split.test.size == samples.count
    with pytest.raises(IdError, match="sample ids occur more than once"):
        twice = np.repeat(brain.sample_id[:1], len(brain.data))
        Responses("d", "s", "items", brain.data, brain.region, brain.noise_ceiling,
                  brain.stimulus_id, sample_id=twice)  # fmt: skip
