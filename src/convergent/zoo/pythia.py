"""Training trajectories of Pythia: published checkpoints and their scores."""

from __future__ import annotations

import math
from pathlib import Path

from convergent.errors import DataError
from convergent.zoo.build import Built, Figures, Progress, Table, Wanted
from convergent.zoo.rows import CheckpointRow, ScoreRow

CHECKPOINTS, SCORES = "pythia_checkpoints.tsv", "pythia_performance.tsv"
EVALUATIONS = "pythia_evals.parquet"
COMMIT = "a19eecb807ec2c79a39ebf18108816e6ffffc1d5"
COMMENT = """\
Checkpoints of Pythia in training; made by `convergent models build`. Steps: the log-spaced set
(0, powers of 2 up to 512, then 1000, 2000, 4000, ... 128000) and every step that was evaluated.
The hub keeps each step as a branch; `convergent models pin` writes its commit into `revision`.
same_as: all 172 zero-shot values are the same, for the weights are (the first step has a learning
rate of zero; both kinds of a size start alike).
final is step 143000 and the main branch: reference and commit of the models table."""
SCORES_COMMENT = f"""\
Zero-shot scores of Pythia in training, from EleutherAI/pythia, evals/pythia-v1, commit
{COMMIT}. Shares of right answers (0 to 1); lambada_openai_ppl is
a perplexity (lower is better), lambada_openai_log_likelihood minus its logarithm (higher is
better): nats a target word. pythia-1b is called pythia-1b-bf16 there. Made by
`convergent models build`."""
SIZES = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
LAST_STEP = 143_000
LOG_STEPS = (0, *(2**power for power in range(10)), *(1000 * 2**power for power in range(8)))
# (task, metric) of the file: benchmark of the table
_BENCHMARKS = {
    ("lambada_openai", "acc"): "lambada_openai",
    ("lambada_openai", "ppl"): "lambada_openai_ppl",
    ("piqa", "acc"): "piqa",
    ("arc_easy", "acc"): "arc_easy",
    ("arc_challenge", "acc"): "arc_challenge",
    ("sciq", "acc"): "sciq",
    ("winogrande", "acc"): "winogrande",
    ("wsc", "acc"): "wsc",
    ("logiqa", "acc"): "logiqa",
}
Values = dict[tuple[str, str], float]  # by task and metric, of one model at one step
_RENAMED = {"pythia-1b": "pythia-1b-bf16"}


def pythia_models() -> tuple[str, ...]:
    """Keys of the models that have trajectories."""
    return tuple(f"pythia-{size}{kind}" for kind in ("", "-deduped") for size in SIZES)


def checkpoint_name(step: int) -> str:
    """Key of a step: the last one is ``final``, the weights that stand for the model."""
    return "final" if step == LAST_STEP else f"step{step}"


def build(
    figures: Figures, jobs: int, wanted: Wanted | None = None, progress: Progress | None = None
) -> Built:
    """Build the tables of trajectories; see `convergent.zoo.build_tables`."""
    checkpoints, scores = build_pythia(figures.folder / EVALUATIONS)
    if wanted is not None:
        checkpoints = [row for row in checkpoints if wanted(row.model)]
        scores = [row for row in scores if wanted(row.model)]
    tables = (Table(CHECKPOINTS, checkpoints, COMMENT), Table(SCORES, scores, SCORES_COMMENT))
    return Built(tuple(table for table in tables if table.rows), {})


def build_pythia(evaluations: Path) -> tuple[list[CheckpointRow], list[ScoreRow]]:
    """Make the rows of ``pythia_checkpoints.tsv`` and ``pythia_performance.tsv``.

    Parameters
    ----------
    evaluations : Path
        Table of model, shot, step, task, metric and value (parquet).

    Returns
    -------
    checkpoints : list of CheckpointRow
        Without commits of the steps.
    scores : list of ScoreRow

    Raises
    ------
    DataError
        The file is missing, a model, benchmark or last step is not in it, or a value is
        there twice or is none.
    """
    checkpoints: list[CheckpointRow] = []
    scores: list[ScoreRow] = []
    table = _read(evaluations)
    for model in pythia_models():
        steps = table.get(_source_name(model), {})
        if LAST_STEP not in steps:
            raise DataError(
                f"'{_source_name(model)}' lacks step {LAST_STEP}",
                where=str(evaluations),
                fix="give the whole set of evaluations",
            )
        for step in sorted({*LOG_STEPS, *steps}):
            checkpoints.append(_checkpoint(model, step, _same_as(model, step, table)))
        for step, values in steps.items():
            scores += _scores(model, step, values, evaluations)
    return checkpoints, scores


def _scores(model: str, step: int, values: Values, path: Path) -> list[ScoreRow]:
    found: dict[str, float] = {}
    for measure, benchmark in _BENCHMARKS.items():
        if measure not in values:
            raise DataError(
                f"'{_source_name(model)}' lacks {' '.join(measure)} at step {step}",
                where=str(path),
                fix="give the whole set of evaluations",
            )
        found[benchmark] = values[measure]
    found["lambada_openai_log_likelihood"] = -math.log(found["lambada_openai_ppl"])
    source = f"EleutherAI/pythia evals at {COMMIT[:7]}, {_source_name(model)}, zero-shot"
    return [
        ScoreRow(
            model=model,
            checkpoint=checkpoint_name(step),
            benchmark=benchmark,
            score=score,
            source=source,
        )
        for benchmark, score in found.items()
    ]


def _same_as(model: str, step: int, table: dict[str, dict[int, Values]]) -> str:
    """Checkpoint with the same weights, told by the same value in all evaluations.

    The learning rate of the first step is zero, and a size starts from the same weights with
    either data.
    """
    if step == 1:
        other, name = model, checkpoint_name(0)
    elif step == 0 and model.endswith("-deduped"):
        other = model.removesuffix("-deduped")
        name = f"{other}/{checkpoint_name(0)}"
    else:
        return ""
    own, first = (table[_source_name(key)].get(at) for key, at in ((model, step), (other, 0)))
    return name if own is not None and own == first else ""


def _source_name(model: str) -> str:
    return _RENAMED.get(model, model)


def _checkpoint(model: str, step: int, same_as: str) -> CheckpointRow:
    final = step == LAST_STEP
    return CheckpointRow(
        model=model,
        checkpoint=checkpoint_name(step),
        step=step,
        # the last step is the main branch, and has the model's own reference and commit
        reference="" if final else f"EleutherAI/{model}",
        branch="" if final else f"step{step}",
        final=final,
        same_as=same_as,
    )


def _read(path: Path) -> dict[str, dict[int, Values]]:
    """Zero-shot values by model and step."""
    import polars as pl

    if not path.is_file():
        raise DataError(
            "no such file", where=str(path), fix="give the folder of the published figures"
        )
    table = pl.read_parquet(path)
    columns = ("model", "step", "task", "metric", "value")
    missing = [name for name in (*columns, "shot") if name not in table.columns]
    if missing:
        raise DataError(f"no column '{missing[0]}'", where=str(path))
    found: dict[str, dict[int, Values]] = {}
    for model, step, task, metric, value in (
        table.filter(pl.col("shot") == "zero-shot").select(columns).iter_rows()
    ):
        values = found.setdefault(model, {}).setdefault(step, {})
        if (task, metric) in values or value is None or not math.isfinite(value):
            raise DataError(
                f"'{model}', step {step}: {task} {metric} is {value}, or there twice",
                where=str(path),
            )
        values[task, metric] = float(value)
    return found
