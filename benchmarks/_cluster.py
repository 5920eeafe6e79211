"""A study of small vision models on a SLURM: making it, running it, and what SLURM recorded."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from convergent.study import Study, Unit

REPOSITORY = Path(__file__).resolve().parents[1]
WORKFLOW = ("Snakefile", "workflow", "envs", "profiles", "slurm")
MODELS = (
    "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\t"
    "preprocessing\n"
)
ROW = (
    "{name}\tvit\tvision\ttransformers\tpath:{folder}\t20000\tlayers.{{0-{last}}}\t16\ttokens\t"
    "cls\tsize=32 mean=0.5 std=0.5\n"
)
CHECKPOINTS = "model\tcheckpoint\trole\tseed\tfinal\n"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Run:
    """One call of Snakemake: how long, how much memory its controller took, what it said."""

    returncode: int
    seconds: float
    peak_mb: float
    log: Path

    @property
    def identity(self) -> str:
        """Name of its jobs."""
        lines = self.log.read_text().splitlines()
        return next(line.split()[-1] for line in lines if "SLURM run ID" in line)


@dataclass(frozen=True)
class Job:
    """One line of the accounting."""

    id: str
    comment: str
    state: str
    submitted: datetime
    elapsed: float
    memory_mb: int
    gpus: int
    minutes: int


@dataclass(frozen=True)
class Place:
    """A folder with the workflow and a study of small models."""

    root: Path

    @property
    def study(self) -> Study:
        """The study, with paths below the folder's own."""
        return Study.load(self.root / "study.yaml")

    @property
    def targets(self) -> list[str]:
        """Every alignment store."""
        study = self.study
        return [path for model in study.models for path in study.alignment_files(Unit(model))]

    def start(self, options: str, log: Path) -> subprocess.Popen[bytes]:
        """Start ``snakemake`` with options, as a person types it, in a session of its own."""
        environment = os.environ | ONE_THREAD
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        with log.open("ab") as output:
            return subprocess.Popen(
                f"exec {sys.executable} -m snakemake {options}",
                shell=True,
                cwd=self.root,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def snakemake(self, options: str, log: str = "run.log") -> Run:
        """Run ``snakemake`` to its end."""
        path = self.root / log
        path.unlink(missing_ok=True)
        begun = time.monotonic()
        process = self.start(options, path)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _peak_mb(process.pid))
            time.sleep(0.1)
        return Run(process.returncode, time.monotonic() - begun, peak, path)

    def digests(self) -> dict[str, str]:
        """Digest of each feature and alignment store."""
        results = self.root / self.study.paths.root
        return {
            str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for kind in ("features", "alignment")
            for path in sorted((results / kind).rglob("*.zarr.zip"))
            if not path.name.startswith(".")
        }

    def temporaries(self) -> list[Path]:
        """Files that a writer left behind."""
        return list((self.root / "results").rglob(".*.tmp"))

    def forget(self) -> None:
        """Remove features and alignment, and keep what they are made from."""
        for kind in ("features", "alignment", "logs"):
            shutil.rmtree(self.root / self.study.paths.root / kind, ignore_errors=True)


def make_place(root: Path, models: int, layers: int, metrics: dict[str, object]) -> Place:
    """Copy the workflow, save small models of random weights, and write their study.

    There are ``2 * models * layers`` layer jobs: a trained checkpoint and a random twin each.
    """
    root.mkdir(parents=True, exist_ok=True)
    for name in WORKFLOW:
        source = REPOSITORY / name
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, root / name, symlinks=True)
        else:
            shutil.copy(source, root / name, follow_symlinks=False)
    rows, checkpoints = MODELS, CHECKPOINTS
    for index in range(models):
        name, folder = f"vit-{index}", root / "weights" / f"vit-{index}"
        _save_vit(folder, layers, seed=index)
        rows += ROW.format(name=name, folder=folder, last=layers - 1)
        checkpoints += f"{name}\tfinal\ttrained\t\tyes\n{name}\trandom-0\trandom\t0\tno\n"
    (root / "models.tsv").write_text(rows)
    (root / "checkpoints.tsv").write_text(checkpoints)
    config = {
        "study": "small",
        "title": "Small models on a cluster",
        "tables": {"models": ["models.tsv"], "checkpoints": ["checkpoints.tsv"]},
        "datasets": {
            "scenes": {
                "reader": "simulated-scenes",
                "modality": "vision",
                "design": "items",
                "subjects": ["sim01", "sim02"],
                "options": {"seed": 1, "vertices": 1},
            }
        },
        "fit": {"permutations": 0, "metrics": metrics},
    }
    (root / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return Place(root)


def _save_vit(folder: Path, layers: int, seed: int) -> None:
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)


def recorded(name: str, *, duplicates: bool = False) -> list[Job]:
    """SLURM's accounting of the jobs of one run, once all have ended; a requeued one twice."""
    columns = "JobIDRaw,Comment,State,Submit,ElapsedRaw,AllocTRES,TimelimitRaw"
    deadline = time.monotonic() + 60
    command = ["sacct", "-X", "-n", "-P", "--starttime=now-1day", f"--name={name}"]
    command += ["--duplicates"] if duplicates else []
    while True:
        table = subprocess.run(
            [*command, f"-o{columns}"], capture_output=True, text=True, check=True
        ).stdout
        states = [line.split("|")[2].split()[0] for line in table.splitlines()]
        if not {"PENDING", "RUNNING", "COMPLETING"} & set(states):
            return [_job(line) for line in table.splitlines()]
        if time.monotonic() > deadline:
            raise TimeoutError(f"jobs of {name} are still there")
        time.sleep(1)


def _peak_mb(pid: int) -> float:
    """Most memory of a process so far; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    # since its start: what getrusage gives is at least the memory of the process that forked it
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _job(line: str) -> Job:
    number, comment, state, submitted, elapsed, asked, minutes = line.split("|")
    tres = dict(item.split("=") for item in asked.split(",") if item)
    memory = tres.get("mem", "0M")
    return Job(
        id=number,
        comment=comment,
        state=state.split()[0],
        submitted=datetime.fromisoformat(submitted),
        elapsed=float(elapsed),
        memory_mb=round(float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]),
        gpus=int(tres.get("gres/gpu", 0)),
        minutes=int(minutes),
    )
