"""Noise ceilings of one's own data against the truth, over designs and ways to estimate them.

    python benchmarks/ceilings.py [--targets 300] [--seeds 4]

Data sets are written to files and read as any are. A target's response to a stimulus is the sum of
a few sparse features; noise is normal, heavy-tailed (t with 3 degrees of freedom) or different from
stimulus to stimulus, and sessions may differ in gain and offset. The true ceiling of a target is
the share of the signal's variance over the scored stimuli in the expected variance of the averages
that are scored. Printed for true ceilings of .05 to .9: the mean of what is found, the mean
absolute error of a target, and the normalised score of a model that is the signal itself, by target
(where the ceiling found is at least .05, as a study's threshold) and of the means. Ceilings of
subjects are lower estimates: the mean of the other subjects has noise of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

CEILINGS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.9)
THRESHOLD = 0.05


@dataclass(frozen=True)
class Design:
    """How stimuli are shown: numbers of repeats of training and test stimuli (or of all).

    `noise` is normal, heavy or uneven (its sd differs between stimuli by a factor of up to 3).
    """

    train: tuple[int, ...]
    test: tuple[int, ...] = ()
    sessions: int = 1
    gain: float = 0.0
    noise: str = "normal"
    subjects: int = 1


DESIGNS = {
    "folds, 3 repeats": Design((3,) * 300),
    "folds, 450 once and 50 ten times": Design((1,) * 450 + (10,) * 50),
    "folds, 1 to 5 repeats, heavy tails": Design((1, 2, 3, 4, 5) * 80, noise="heavy"),
    "train once, test 4 times": Design((1,) * 400, (4,) * 100),
    "train 3 times, test once or twice": Design((3,) * 300, (1, 2) * 60),
    "train once, 20 test images 10 times": Design((1,) * 400, (10,) * 20),
    "train once, 20 test images, uneven noise": Design((1,) * 400, (10,) * 20, noise="uneven"),
    "sessions of other gain and offset": Design((2,) * 400, (6,) * 100, sessions=5, gain=0.5),
    "4 subjects, train once, test 3 times": Design((1,) * 300, (3,) * 200, subjects=4),
}


@dataclass(frozen=True)
class Made:
    """A written data set.

    `truth` and `signal` are those of the scored stimuli, in order of their ids; `target` is the
    planted ceiling of each target.
    """

    file: Path
    truth: np.ndarray
    signal: np.ndarray
    scored: np.ndarray
    target: np.ndarray


def make(folder: Path, design: Design, targets: int, seed: int) -> Made:
    """Write stimuli, responses and the file that describes them."""
    rng = np.random.default_rng(seed)
    repeats = np.array(design.train + design.test)
    count = repeats.size
    scored = np.arange(count) >= (len(design.train) if design.test else 0)
    features = rng.exponential(size=(count, 12)) * (rng.random((count, 12)) < 0.4)
    signal = features @ rng.normal(size=(12, targets))
    signal = (signal - signal[scored].mean(axis=0)) / signal[scored].std(axis=0, ddof=1)
    target = np.resize(CEILINGS, targets)
    spread = rng.uniform(0.5, 1.5, count) if design.noise == "uneven" else np.ones(count)
    kept = (spread[scored] ** 2 / repeats[scored]).mean()
    sd = np.sqrt((1 / target - 1) / kept)
    ids = [f"s{number:05d}" for number in range(count)]
    table = "id\ttext\tsplit\n" + "".join(
        f"{name}\ta word\t{'test' if tested else 'train'}\n"
        for name, tested in zip(ids, scored, strict=True)
    )
    (folder / "stimuli.tsv").write_text(table)
    for subject in range(design.subjects):
        order = rng.permutation(np.repeat(np.arange(count), repeats))
        noise = rng.standard_normal((order.size, targets))
        if design.noise == "heavy":
            noise = rng.standard_t(3, size=noise.shape) / np.sqrt(3)
        trials = signal[order] + sd * spread[order][:, None] * noise
        session = np.arange(order.size) * design.sessions // order.size
        gain = np.exp(design.gain * rng.normal(size=(design.sessions, targets)))
        offset = 5 * design.gain * rng.normal(size=(design.sessions, targets))
        trials = trials * gain[session] + offset[session] + 1000
        np.save(folder / f"sub{subject}.npy", trials.astype(np.float32))
        rows = "".join(f"{ids[s]}\t{run}\n" for s, run in zip(order, session, strict=True))
        (folder / f"sub{subject}.tsv").write_text("stimulus_id\tsession\n" + rows)
    config = {
        "modality": "language",
        "design": "items",
        "stimuli": {"table": "stimuli.tsv"} | ({"split": "split"} if design.test else {}),
        "responses": {
            "files": "{subject}.npy",
            "ids": "{subject}.tsv",
            "session": "session",
            "standardise": "session" if design.sessions > 1 else "none",
        },
        "regions": {"whole": "all"},
    }
    file = folder / "data.yaml"
    file.write_text(yaml.safe_dump(config))
    return Made(file, 1 / (1 + sd**2 * kept), signal[scored], scored, target)


def found(made: Made, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Ceilings of the first subject, and the r of the signal with its scored responses."""
    from convergent.brains.custom import OwnData

    config = yaml.safe_load(made.file.read_text()) | {"ceilings": {"from": source}}
    file = made.file.with_name(f"{source}.yaml")
    file.write_text(yaml.safe_dump(config))
    brain = OwnData(file=str(file)).responses("sub0")
    data = np.asarray(brain.data, dtype=np.float64)[made.scored]
    x, y = (values - values.mean(axis=0) for values in (made.signal, data))
    return brain.noise_ceiling, (x * y).sum(axis=0) / np.sqrt((x**2).sum(0) * (y**2).sum(0))


def main() -> None:
    """Print one row a design, source and true ceiling."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--targets", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args()
    print("design | from | true | found | error of a target | normalised, by target | of means")
    print("---|---|---|---|---|---|---")
    for name, design in DESIGNS.items():
        sources = ("repeats", "split-half") if design.subjects == 1 else ("repeats", "subjects")
        for source in sources:
            parts = []
            for seed in range(asked.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    made = make(Path(folder), design, asked.targets, seed)
                    parts.append((made.target, made.truth, *found(made, source)))
            target, truth, ceiling, r = (
                np.concatenate(values) for values in zip(*parts, strict=True)
            )
            for level in CEILINGS:
                here = target == level
                error = np.abs(ceiling[here] - truth[here]).mean()
                kept = here & (ceiling >= THRESHOLD)
                each = (r[kept] / np.sqrt(ceiling[kept])).mean()
                means = r[here].mean() / np.sqrt(ceiling[here].mean())
                numbers = (truth[here].mean(), ceiling[here].mean(), error, each, means)
                print(f"{name} | {source} | " + " | ".join(f"{value:.3f}" for value in numbers))


if __name__ == "__main__":
    main()
