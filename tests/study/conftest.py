"""A small study on disk that a test may spoil."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

MODELS = """\
# a comment
model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\tprecision\tpreprocessing\tattention\ttags
net-a\tnets\tvision\ttimm\tpath:net-a\t1000\tblocks.{0-2}\t8\ttokens\tcls\tfloat32\tsize=32 mean=0.5\t\tcoco
net-b\tnets\tvision\ttimm\tpath:net-b\t2000\tstem;stages.{0,2}\t4;8;16\tchannels_first\tspatial_mean\t\t\t\t
gpt\ttexts\tlanguage\ttransformers\torg/gpt\t5000\th.{0-1}\t12\ttokens\tmean\tbfloat16\t\tcausal\t
rate\tbaseline\tlanguage\tbaseline\tword-rate\t0\tfeatures\t1\tvector\tnone\t\t\t\t
"""
CHECKPOINTS = """\
model\tcheckpoint\trole\tstep\trevision\tseed\tfinal
net-a\tstep0\ttrained\t0\t\t\tno
net-a\tstep10\ttrained\t10\t\t\tyes
net-a\trandom-0\trandom\t\t\t0\tno
"""
PERFORMANCE = """\
model\tcheckpoint\tbenchmark\tscore\tsource
net-a\tstep10\ttop1\t0.5\tpaper
gpt\tfinal\tlambada\t0.25\tpaper
"""


@dataclass
class Files:
    """Paths and contents of the study."""

    folder: Path
    config: dict[str, Any]

    @property
    def path(self) -> Path:
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(self.config))
        return path

    def replace(self, table: str, old: str, new: str) -> None:
        path = self.folder / f"{table}.tsv"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for name, text in (
        ("models", MODELS),
        ("checkpoints", CHECKPOINTS),
        ("performance", PERFORMANCE),
    ):
        (tmp_path / f"{name}.tsv").write_text(text)
    config = {
        "study": "small",
        "title": "A small study",
        "results": str(tmp_path / "results"),
        "tables": {
            "models": ["models.tsv"],
            "checkpoints": ["checkpoints.tsv"],
            "performance": ["performance.tsv"],
        },
        "datasets": {
            "scenes": {
                "reader": "simulated-scenes",
                "modality": "vision",
                "design": "items",
                "subjects": ["sim01", "sim02"],
                "options": {"seed": 1},
            },
            "story": {
                "reader": "alice",
                "modality": "language",
                "design": "story",
                "subjects": ["s18"],
                "options": {"data": "somewhere"},
            },
        },
    }
    return Files(tmp_path, config)
