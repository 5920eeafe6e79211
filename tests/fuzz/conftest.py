"""A small study with data of its own, to be mutated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from convergent.brains.custom import write_example
from fuzz.outcomes import Ledger

_COLUMNS = (
    *("model", "family", "modality", "source", "reference", "revision", "parameters", "layers"),
    *("width", "layout", "pooling", "precision", "preprocessing", "attention", "tags", "notes"),
)
_VISION = {"modality": "vision", "source": "timm", "reference": "path:weights", "notes": "note"}
_ROWS = (
    {
        **_VISION,
        "model": "net-0",
        "family": "nets",
        "parameters": "4652008",
        "tags": "coco",
        "layers": "blocks.{0,6};head",
        "width": "16;320;1280",
        "layout": "channels_first",
        "pooling": "spatial_mean",
        "precision": "float32",
        "preprocessing": "size=64 mean=0.5 std=0.5",
    },
    {
        **_VISION,
        "model": "net-1",
        "family": "nets",
        "parameters": "5416680",
        "layers": "blocks.{0-2}",
        "width": "16",
        "layout": "channels_first",
        "pooling": "spatial_mean",
        "precision": "float32",
        "preprocessing": "size=64 crop=0.9",
    },
    {
        **_VISION,
        "model": "pixels",
        "family": "controls",
        "source": "baseline",
        "reference": "pixels",
        "parameters": "0",
        "layers": "features",
        "width": "768",
        "layout": "vector",
        "pooling": "none",
        "preprocessing": "size=16",
    },
)
MODELS = "".join(
    "\t".join(cells) + "\n"
    for cells in (_COLUMNS, *([row.get(name, "") for name in _COLUMNS] for row in _ROWS))
)
CHECKPOINTS = """\
model\tcheckpoint\trole\tstep\tseed\tfinal\tsame_as
net-0\tstart\ttrained\t0\t\tno\t
net-0\tend\ttrained\t100\t\tyes\t
net-0\trandom-7\trandom\t\t7\tno\t
"""
PERFORMANCE = """\
model\tcheckpoint\tbenchmark\tscore\tsource
net-0\tend\ttop1\t75.1\tpaper
net-1\tfinal\ttop1\t76.6\tpaper
"""
CONFIG = {
    "study": "s",
    "title": "A study",
    "results": "results",
    "tables": {
        "models": ["models.tsv"],
        "checkpoints": ["checkpoints.tsv"],
        "performance": ["performance.tsv"],
    },
    "datasets": {
        "mine": {
            "reader": "own",
            "modality": "vision",
            "design": "items",
            "subjects": ["01", "02"],
            "options": {"file": "data/data.yaml"},
        }
    },
    "fit": {
        "folds": 3,
        "alphas": {"number": 5},
        "metrics": {"ridge": None, "cka": None, "cka_rbf": {"scales": [0.5, 2.0]}},
        "permutations": 4,
    },
    "performance": {"benchmarks": {"vision": "top1"}},
    "statistics": {"bootstraps": 100, "permutations": 100},
}


@pytest.fixture(scope="session")
def base(made_once: Callable[..., Path]) -> Path:
    """The files of a study without errors."""

    def fill(folder: Path) -> None:
        write_example(folder / "data", "images")
        (folder / "weights").mkdir()
        (folder / "models.tsv").write_text(MODELS)
        (folder / "checkpoints.tsv").write_text(CHECKPOINTS)
        (folder / "performance.tsv").write_text(PERFORMANCE)
        (folder / "study.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))

    return made_once("fuzzed", fill)


@pytest.fixture
def ledger(record_property: Callable[[str, object], None]) -> Iterator[Ledger]:
    """Counts of a test's outcomes, shown at the end of the run."""
    ledger = Ledger()
    yield ledger
    record_property("outcomes", dict(ledger.counts))
