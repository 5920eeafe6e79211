"""Table of timm's models with their ImageNet scores."""

from __future__ import annotations

from typing import Any

from convergent.errors import ConvergentError
from convergent.models.timm import RESIZE_OF
from convergent.zoo.build import Built, Figures, Progress, Table, Wanted, training_tags
from convergent.zoo.propose import Proposal, timm_family
from convergent.zoo.resolve import propose_for, stub
from convergent.zoo.rows import ModelRow, ScoreRow
from convergent.zoo.sketch import by_network, run_all

MODELS, SCORES = "timm.tsv", "timm_performance.tsv"
_TOP1 = {
    "imagenet_top1": "timm_imagenet.csv",
    "imagenet_real_top1": "timm_imagenet_real.csv",
    "imagenet_v2_top1": "timm_imagenet_v2.csv",
    "imagenet_a_top1": "timm_imagenet_a.csv",
    "imagenet_r_top1": "timm_imagenet_r.csv",
    "imagenet_sketch_top1": "timm_sketch.csv",
}
_COMMENT = """\
Models of timm with published ImageNet scores; made by `convergent models build`.
Layers: embedding, every block, stages that give more than their last block does, final norm.
Sizes are those of the scores. Tags: training data; coco, coco-unknown: docs/models.md."""
_SCORES_COMMENT = """\
Top-1 in percent at the size in the models table; made by `convergent models build`."""


def build(
    figures: Figures, jobs: int, wanted: Wanted | None = None, progress: Progress | None = None
) -> Built:
    """Build the tables of timm's models; see `convergent.zoo.build`."""
    import timm

    left_out: dict[str, str] = {}
    chosen: dict[str, dict[str, str]] = {}
    known = set(timm.list_pretrained())
    for name, tested in _by_model(figures.rows(_TOP1["imagenet_top1"])).items():
        if wanted is not None and not wanted(name):
            continue
        config = timm.get_pretrained_cfg(name) if name in known else None
        if config is None:
            left_out[name] = "timm has no such weights"
        elif not config.hf_hub_id:
            left_out[name] = "its weights are not on the hub"
        else:
            size = str((config.test_input_size or config.input_size)[-1])
            if size in tested:
                chosen[name] = tested[size]
            else:
                left_out[name] = f"no score at its size of {size} pixels"
    proposals = _proposals(chosen, jobs, progress)
    rows = []
    for name, tested_at in chosen.items():
        proposal = proposals[name]
        if isinstance(proposal, ConvergentError):
            left_out[name] = proposal.what
            continue
        rows.append(_row(name, tested_at, proposal, timm.get_pretrained_cfg(name)))
    kept = {row.model for row in rows}
    scores = _scores(figures, {name: row for name, row in chosen.items() if name in kept})
    tables = (Table(MODELS, rows, _COMMENT), Table(SCORES, scores, _SCORES_COMMENT))
    return Built(tables, left_out)


def _by_model(rows: list[dict[str, str]]) -> dict[str, dict[str, dict[str, str]]]:
    tested: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        tested.setdefault(row["model"], {})[row["img_size"]] = row
    return tested


def _proposals(
    chosen: dict[str, dict[str, str]], jobs: int, progress: Progress | None
) -> dict[str, Proposal | ConvergentError]:
    models = [
        stub("timm", name, preprocessing={"size": row["img_size"]}) for name, row in chosen.items()
    ]
    groups = by_network(models)
    results = run_all(propose_for, [group[0] for group in groups], jobs, progress)
    return {
        model.key: result for group, result in zip(groups, results, strict=True) for model in group
    }


def _row(name: str, tested: dict[str, str], proposal: Proposal, config: Any) -> ModelRow:
    from timm.models import model_entrypoint

    architecture, _, tag = name.partition(".")
    tags = training_tags(name, tag)
    if architecture.startswith("test_"):
        tags = (*tags, "test-network")
    preprocessing = {
        "size": tested["img_size"],
        "crop": f"{float(tested['crop_pct']):g}",
        "mean": _numbers(config.mean),
        "std": _numbers(config.std),
        "interpolation": tested["interpolation"],
    }
    if RESIZE_OF[config.crop_mode] != "crop":
        preprocessing["resize"] = RESIZE_OF[config.crop_mode]
    if config.crop_mode == "border":
        preprocessing["fill"] = _numbers(tuple(round(255 * value) for value in config.mean))
    return ModelRow(
        model=name,
        family=timm_family(architecture, model_entrypoint(name).__module__.rpartition(".")[2]),
        modality="vision",
        source="timm",
        reference=config.hf_hub_id if "/" in config.hf_hub_id else f"timm/{config.hf_hub_id}",
        architecture=name,
        parameters=proposal.parameters,
        layers=proposal.layers,
        widths=proposal.widths,
        layout=proposal.layout,
        pooling=proposal.pooling,
        preprocessing=preprocessing | proposal.options,
        tags=tags,
        notes=proposal.notes,
    )


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.10g}" for value in (values[:1] if len(set(values)) == 1 else values))


def _scores(figures: Figures, chosen: dict[str, dict[str, str]]) -> list[ScoreRow]:
    scores = []
    for benchmark, file in _TOP1.items():
        origin = figures.origin(file)
        for row in figures.rows(file):
            tested = chosen.get(row["model"])
            if tested is not None and tested["img_size"] == row["img_size"]:
                score = float(row["top1"])
                scores.append(
                    ScoreRow(model=row["model"], benchmark=benchmark, score=score, source=origin)
                )
    return scores
