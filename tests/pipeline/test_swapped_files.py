"""No stage takes a file of something else, of other settings or of other inputs for its own."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from convergent.errors import StoreError
from convergent.pipeline.ceilings import ceilings
from convergent.pipeline.correlate import correlate
from convergent.pipeline.cube import write_cube
from convergent.pipeline.extract import extract
from convergent.pipeline.fit import fit
from convergent.pipeline.maps import write_maps
from convergent.pipeline.measure import gather_family, measure
from convergent.pipeline.report import write_report
from convergent.pipeline.representations import representations
from convergent.store import inspect_store, open_store, write_store
from convergent.study import Study

MODEL, LAYER = "tiny-vit", "layers.1"


@pytest.fixture(scope="module")
def place(finished, tmp_path_factory):
    """A copy of the finished study, in which each test puts right what it has changed."""
    folder = tmp_path_factory.mktemp("swapped") / "study"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    workflow = type(finished)(folder, finished.repository, finished.config)
    workflow.config = {**finished.config, "convergence": {"datasets": ["scenes", "sentences"]}}
    workflow.write()
    (folder / "study.yaml").rename(folder / "convergence.yaml")
    workflow.config = finished.config
    workflow.write()
    before = Path.cwd()
    os.chdir(folder)
    yield
    os.chdir(before)


def features(model=MODEL, checkpoint="final", layer=LAYER, dataset="scenes"):
    return f"features/{dataset}/{model}/{checkpoint}/{layer}.zarr.zip"


def alignment(model=MODEL, checkpoint="final", layer=LAYER, subject="sim01"):
    return f"alignment/scenes/{model}/{checkpoint}/{layer}/{subject}.zarr.zip"


def responses(subject="sim01", dataset="scenes"):
    return f"responses/{dataset}/{subject}.zarr.zip"


FIT = partial(fit, model=MODEL, checkpoint="final", layer=LAYER, dataset="scenes", subject=None)
EXTRACT = partial(extract, model=MODEL, checkpoint="final", layer=LAYER, dataset="scenes")
TABLE = "{}/tiny.parquet"
SETTINGS = "other settings"
STIMULI = ("stimuli/scenes.zarr.zip", ["stimuli/sentences.zarr.zip", features(), SETTINGS])
RESPONSES = (responses(), [responses("sim02"), responses(dataset="sentences"), SETTINGS])
FEATURES = (
    features(),
    [
        features(layer="layers.0"),
        features(checkpoint="random-0"),
        features("gabor", layer="features"),
        features("lengths", layer="features", dataset="sentences"),
        alignment(),
        SETTINGS,
        "other weights",
    ],
)
ALIGNMENT = (
    alignment(),
    [
        alignment(layer="layers.0"),
        alignment(checkpoint="random-0"),
        alignment("gabor", layer="features"),
        alignment(subject="sim02"),
        features(),
        SETTINGS,
        "other features",
    ],
)
WEIGHTS = (f"weights/{MODEL}/final.json", [f"weights/{MODEL}/random-0.json", SETTINGS])
FAMILY = (
    "families/tiny.parquet",
    [
        "families/controls.parquet", "families-alignment/tiny.parquet",
        "models/tiny-vit.parquet", SETTINGS, "other models",
    ],
)  # fmt: skip

STAGES = {
    "extract": (EXTRACT, features(), [STIMULI, WEIGHTS]),
    "fit": (FIT, alignment(), [STIMULI, RESPONSES, FEATURES]),
    "ceilings": (
        partial(ceilings, dataset="scenes"),
        "ceilings/scenes.parquet",
        [STIMULI, RESPONSES],
    ),
    "measure": (partial(measure, model=MODEL), "models/tiny-vit.parquet", [ALIGNMENT]),
    "maps": (partial(write_maps, dataset="scenes"), "study/maps/scenes.zarr.zip", [ALIGNMENT]),
    "representations": (representations, "representations.parquet", [STIMULI, FEATURES]),
    "family": (
        partial(gather_family, family="tiny"),
        "families/tiny.parquet",
        [
            (
                "models/tiny-vit.parquet",
                ["models/gabor.parquet", "models-coverage/tiny-vit.parquet", SETTINGS],
            )
        ],
    ),
    "cube": (partial(write_cube, dataset="scenes"), "study/cube/scenes.zarr.zip", [FAMILY]),
    "correlate": (
        correlate,
        "study/about.json",
        [FAMILY, ("ceilings/scenes.parquet", ["ceilings/sentences.parquet", SETTINGS]), WEIGHTS],
    ),
    "report": (
        write_report,
        "report.html",
        [
            STIMULI,
            RESPONSES,
            ("study/leads.parquet", ["study/onsets.parquet", SETTINGS]),
            ("study/ceilings.parquet", ["ceilings/scenes.parquet", SETTINGS]),
        ],
    ),
}
CASES = [
    pytest.param(stage, output, file, other, id=f"{name}-{file}-{other}")
    for name, (stage, output, inputs) in STAGES.items()
    for file, others in inputs
    for other in others
]


def changed(attrs, how):
    """What a file says of itself if it was made otherwise."""
    attrs = json.loads(json.dumps(attrs))
    if how == SETTINGS:
        attrs["identity"] = "0" * 16
        for metric in attrs.get("metrics", {}).values():
            metric["identity"] = "0" * 16
    elif how == "other weights":
        attrs["weights_sha256"] = "0" * 64
    else:
        name = "features" if how == "other features" else next(iter(attrs["made_from"]))
        attrs["made_from"][name] = "0" * 16
    return attrs


def alter(path, how):
    """Write a file as it would be if it was made otherwise."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        said = json.loads(pq.read_metadata(path).metadata[b"convergent"])
        pq.write_table(
            table.replace_schema_metadata({"convergent": json.dumps(changed(said, how))}), path
        )
    elif path.suffix == ".json":
        path.write_text(json.dumps(changed(json.loads(path.read_text()), how)))
    else:
        kind = inspect_store(path).attrs["kind"]
        store = open_store(path, kind)
        arrays = {name: (store.dims[name], store[name]) for name in store.arrays}
        write_store(path, kind, arrays, changed(store.attrs, how))


@pytest.mark.parametrize(("stage", "output", "file", "other"), CASES)
def test_a_stage_refuses_what_it_did_not_ask_for_and_writes_nothing(
    place, stage, output, file, other
):
    study = Study.load("convergence.yaml" if stage is representations else "study.yaml")
    root = Path(study.paths.root)
    path, made = root / file, root / output
    saved = path.read_bytes()
    before = made.read_bytes() if made.exists() else None
    source = (root / other).read_bytes() if (root / other).exists() else None
    made.unlink(missing_ok=True)
    if not path.exists():  # it is the stage's output, too
        path.write_bytes(saved)
    try:
        if source is not None:
            path.unlink()
            path.write_bytes(source)
        else:
            alter(path, other)
        with pytest.raises(StoreError) as found:
            stage(study)
        assert not made.exists() or output == file
        text = str(found.value)
        assert file in text and "\n" not in text and "Fix: " in text
        if source is not None:
            assert "it holds" in text or "it is of" in text, text
        elif other == SETTINGS:
            assert "other settings" in text and "run `convergent " in text
        else:
            assert "it was made from other" in text
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(saved)
        if before is not None and made != path:
            made.write_bytes(before)
