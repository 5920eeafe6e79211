"""A study whose alignment stores are made up, of the arrays and attributes that fits write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from convergent.store import write_store
from convergent.study import Study
from convergent.study.types import COUNTED

MODELS = """\
model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\tpreprocessing\tattention
gabor\tcontrols\tvision\tbaseline\tgabor\t0\tfeatures\t32\tvector\tnone\tsize=32\t
"""
NET = (
    "{0}\tnets\tvision\ttransformers\tpath:{0}\t20000\tlayers.{{0-{1}}}\t16\ttokens\tcls"
    "\tsize=32 mean=0.5 std=0.5\t\n"
)
CHECKPOINTS = "model\tcheckpoint\trole\tstep\tseed\tfinal\n"
NETS = {"net-a": 3, "net-b": 1, "net-c": 2, "net-d": 4}
REGIONS = ("V1", "V2", "V4", "IT")
TARGETS = {"s1": 23, "s2": 17}
FOLDS, PERMUTATIONS = 3, 5


def made_study(folder: Path, **config: Any) -> Study:
    """Write a study of four nets with two checkpoints each, and all its alignment stores."""
    rows, checkpoints = MODELS, CHECKPOINTS
    for net, layers in NETS.items():
        rows += NET.format(net, layers - 1)
        checkpoints += f"{net}\tstep10\ttrained\t10\t\tno\n{net}\tfinal\ttrained\t20\t\tyes\n"
        checkpoints += f"{net}\trandom-0\trandom\t\t0\tno\n"
    (folder / "models.tsv").write_text(rows)
    (folder / "checkpoints.tsv").write_text(checkpoints)
    content = {
        "study": "made",
        "title": "Made",
        "results": str(folder / "results"),
        "tables": {"models": ["models.tsv"], "checkpoints": ["checkpoints.tsv"]},
        "datasets": {
            "scenes": {
                "reader": "simulated-scenes",
                "modality": "vision",
                "design": "items",
                "subjects": list(TARGETS),
            }
        },
        "fit": {"permutations": PERMUTATIONS, "metrics": {"ridge": None, "cka": None}},
        **config,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    study = Study.load(folder / "study.yaml")
    rng = np.random.default_rng(0)
    for key, model in study.models.items():
        for checkpoint in model.checkpoints:
            for layer in model.layers:
                for subject in TARGETS:
                    write_scores(study, key, checkpoint.name, layer.name, subject, rng)
    return study


def write_scores(
    study: Study,
    model: str,
    checkpoint: str,
    layer: str,
    subject: str,
    rng: np.random.Generator,
    **attrs: Any,
) -> dict[str, Any]:
    """Write one store of random scores; its arrays."""
    targets, regions = TARGETS[subject], len(REGIONS)
    of_subject = np.random.default_rng(targets)
    index = of_subject.integers(regions, size=targets)
    index[:regions] = range(regions)
    ceiling = of_subject.uniform(0.0, 0.6, targets)  # some below the threshold
    fold_r = rng.uniform(-0.2, 0.8, (FOLDS, targets))
    inner_r = fold_r + rng.normal(0, 0.1, fold_r.shape)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([values[..., index == k].mean(axis=-1) for k in range(regions)], axis=-1)

    null = (PERMUTATIONS, FOLDS, regions)
    names = np.array(REGIONS)
    arrays = {
        "region": (("region",), names),
        "hemisphere": (("region",), np.array(["L"] * regions)),
        "network": (("region",), np.array(["Visual"] * regions)),
        "axis_position": (("region",), np.arange(regions) / regions),
        "region_noise_ceiling": (("region",), mean(ceiling)),
        "region_targets": (("region",), np.bincount(index, minlength=regions)),
        "r": (("target",), fold_r.mean(axis=0)),
        "alpha_grid": (("alpha_grid",), np.ones(1)),
        "alpha_index": (("fold", "target"), np.zeros(fold_r.shape, dtype=np.int8)),
        "fold_r": (("fold", "target"), fold_r),
        "inner_r": (("fold", "target"), inner_r),
        "target_region": (("target",), names[index]),
        "noise_ceiling": (("target",), ceiling),
        "region_r": (("region",), mean(fold_r).mean(axis=0)),
        "region_r2": (("region",), mean(fold_r**2).mean(axis=0)),
        "region_r_median": (("region",), mean(fold_r).mean(axis=0)),
        "region_fold_r": (("fold", "region"), mean(fold_r)),
        "region_inner_r": (("fold", "region"), mean(inner_r)),
        "region_log10_alpha": (("region",), np.zeros(regions)),
        "region_edge_share": (("region",), np.zeros(regions)),
        "null_fold_r": (("permutation", "fold", "region"), rng.normal(0, 0.1, null)),
        "null_inner_r": (("permutation", "fold", "region"), rng.normal(0, 0.1, null)),
        "cka_scale": (("cka_scale",), np.array([np.nan])),
        "cka_score": (("cka_scale", "region"), rng.random((1, regions))),
        "cka_half": (("half", "cka_scale", "region"), rng.random((2, 1, regions))),
        "cka_null": (
            ("permutation", "cka_scale", "region"),
            rng.random((PERMUTATIONS, 1, regions)),
        ),
        "cka_half_null": (
            ("permutation", "half", "cka_scale", "region"),
            rng.random((PERMUTATIONS, 2, 1, regions)),
        ),
    }  # fmt: skip
    keys = {"dataset": "scenes", "model": model, "checkpoint": checkpoint, "layer": layer}
    content = {
        **keys,
        "subject": subject,
        "identity": study.identity("fit", **keys),
        "made_from": {"responses": f"responses of {subject}"},
        "status": "ok",
        "reason": "",
        "width": 16,
        "n_features": 16,
        "effective_dimensionality": 3.0,
        "weights_sha256": f"{model}-{checkpoint}",
        "counted": dict.fromkeys(COUNTED, 0),
        **attrs,
    }
    if content["status"] != "ok":
        arrays = {name: arrays[name] for name in ("region", "hemisphere", "network")}
    path = study.paths.alignment(*keys.values(), subject)
    write_store(path, "alignment", arrays, content)
    return arrays
