"""One's own data in one file, from its folder to alignment stores through the workflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from convergent.brains.custom import write_example
from convergent.store import open_store
from workflow_fixtures import Workflow

MODELS = """\
model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\tpreprocessing
pixels\tcontrols\tvision\tbaseline\tpixels\t0\tfeatures\t48\tvector\tnone\tsize=4
lengths\tcontrols\tlanguage\tbaseline\tword-length\t0\tfeatures\t1\tvector\tnone\t
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Workflow:
    folder = tmp_path_factory.mktemp("own")
    files = {kind: write_example(folder / kind, kind) for kind in ("images", "story")}
    (folder / "models.tsv").write_text(MODELS)
    settings = {"images": ("vision", "items"), "story": ("language", "story")}
    workflow = Workflow(
        folder,
        repository,
        {
            "study": "own",
            "title": "Own data",
            "tables": {"models": ["models.tsv"]},
            "datasets": {
                kind: {
                    "reader": "own",
                    "modality": modality,
                    "design": design,
                    "subjects": ["01", "02"],
                    "options": {"file": str(files[kind])},
                }
                for kind, (modality, design) in settings.items()
            },
            "fit": {"metrics": {"ridge": None}, "permutations": 2, "selection": "folds"},
            "statistics": {"bootstraps": 100, "permutations": 100},
        },
    )
    workflow.snakemake(*targets())
    return workflow


def targets() -> list[str]:
    return [
        f"results/own/alignment/{data}/{model}/final/features/{subject}.zarr.zip"
        for data, model in (("images", "pixels"), ("story", "lengths"))
        for subject in ("01", "02")
    ]


def test_planted_regions_align_and_the_others_do_not(finished):
    for target in targets():
        store = open_store(finished.folder / target, "alignment")
        where = {name: number for number, name in enumerate(store["region"].tolist())}
        scores = store["region_r"]
        driven = [scores[where[name]] for name in ("L_V1", "R_V1", "L_FFC")]
        # 15 test images or 40 volumes a fold: chance alone reaches r of .3
        assert min(driven) > 0.5 > abs(scores[where["L_4"]]) + 0.1, (target, scores)
        ceiling = store["region_noise_ceiling"]
        assert ceiling[where["L_V1"]] > 0.15 > ceiling[where["L_4"]] - 0.1
        assert store["network"][where["L_4"]] == "Somatomotor"


def test_the_fixed_split_is_what_is_scored(finished):
    store = open_store(finished.folder / targets()[0], "alignment")
    assert store.attrs["n_samples"] == 60
    stimuli = open_store(finished.folder / "results/own/stimuli/images.zarr.zip", "stimuli")
    assert np.count_nonzero(stimuli["split"] == "test") == 15


def test_a_changed_description_is_computed_again(finished):
    assert finished.plan(*targets()) == {}
    path = finished.folder / "images" / "data.yaml"
    text = path.read_text()
    try:
        path.write_text(yaml.safe_dump({**yaml.safe_load(text), "version": 2}))
        plan = finished.plan(*targets())
    finally:
        path.write_text(text)
    assert plan["stimuli"] == 1
    assert plan["fit"] >= 1
