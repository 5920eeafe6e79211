"""A small study that is run once, and then planned again after changes."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import forked

MODELS = """\
model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\tpreprocessing\tattention
gabor\tcontrols\tvision\tbaseline\tgabor\t0\tfeatures\t32\tvector\tnone\tsize=32 orientations=4 scales=2 grid=2\t
lengths\tcontrols\tlanguage\tbaseline\ttext-length\t0\tfeatures\t3\tvector\tnone\t\t
tiny-vit\ttiny\tvision\ttransformers\tpath:{vit}\t20000\tlayers.{{0-1}}\t16\ttokens\tcls\tsize=32 mean=0.5 std=0.5\t
"""
CHECKPOINTS = """\
model\tcheckpoint\trole\tstep\tseed\tfinal
tiny-vit\tfinal\ttrained\t10\t\tyes
tiny-vit\trandom-0\trandom\t\t0\tno
"""


@dataclass
class Workflow:
    """A working directory with a study in it."""

    folder: Path
    repository: Path
    config: dict[str, Any]

    def write(self) -> None:
        (self.folder / "study.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))

    def snakemake(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        self.write()
        arguments = ["--snakefile", str(self.repository / "Snakefile")]
        arguments += ["--directory", str(self.folder)]
        arguments += ["--configfile", str(self.folder / "study.yaml"), "--cores", "2", *options]
        done = forked.run(arguments, self.folder)
        if check and done.returncode:
            logs = [path.read_text() for path in self.folder.rglob("logs/**/*.log")]
            raise AssertionError("\n".join([done.stdout, done.stderr, *logs])[-6000:])
        return done

    def plan(self, *options: str) -> dict[str, int]:
        """Jobs by rule that a dry run would start, without the final target."""
        done = self.snakemake("--dry-run", *options)
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return {}
        table = text[text.index("Job stats:") :].split("\n\n")[0]
        counts = dict(re.findall(r"^(\S+)\s+(\d+)$", table, flags=re.MULTILINE))
        planned: Counter[str] = Counter()
        for rule, number in counts.items():
            if rule not in ("all", "total", "families"):
                # a rule a data set: fit_scenes, fit_sentences
                planned["fit" if rule.startswith("fit_") else rule] += int(number)
        return dict(planned)

    def edit(self, table: str, old: str, new: str) -> None:
        path = self.folder / f"{table}.tsv"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def _save_tiny_vit(folder: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)


def small_configuration() -> dict[str, Any]:
    """The study of these tables, with the defaults of everything else."""
    return {
        "study": "small",
        "title": "A small study",
        "tables": {"models": ["models.tsv"], "checkpoints": ["checkpoints.tsv"]},
        "datasets": {
            name: {
                "reader": f"simulated-{name}",
                "modality": modality,
                "design": "items",
                "subjects": ["sim01", "sim02"],
                "options": {"seed": 1, "vertices": 1},
            }
            for name, modality in (("scenes", "vision"), ("sentences", "language"))
        },
    }


@pytest.fixture(scope="session")
def finished(made_once: Callable[..., Path], repository: Path) -> Workflow:
    """Run the small study to its report, one job a layer; read it, and change copies of it."""
    more = {
        "fit": {
            "permutations": 4,
            "similarity_stimuli": 128,  # of 256: most of a fit's time grows with their square
            "metrics": {"ridge": None, "cka": None, "cka_rbf": {"scales": [0.5, 2.0]}},
        },
        "statistics": {"bootstraps": 100, "permutations": 100},
    }
    config = small_configuration() | more

    def fill(folder: Path) -> None:
        _save_tiny_vit(folder / "vit")
        (folder / "models.tsv").write_text(MODELS.format(vit=folder / "vit"))
        (folder / "checkpoints.tsv").write_text(CHECKPOINTS)
        Workflow(folder, repository, config).snakemake()

    return Workflow(made_once("study", fill), repository, config)


@pytest.fixture
def workflow(finished: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the finished study, to be changed."""
    folder = tmp_path / "study"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    (folder / "models.tsv").write_text((finished.folder / "models.tsv").read_text())
    return Workflow(folder, finished.repository, copy.deepcopy(finished.config))
