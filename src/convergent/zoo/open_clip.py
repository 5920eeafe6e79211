"""Tables of open_clip's towers with their zero-shot scores."""

from __future__ import annotations

from typing import Any

from convergent.errors import ConvergentError
from convergent.models.open_clip import RESIZE_OF
from convergent.study.types import Modality
from convergent.zoo.build import Built, Figures, Progress, Table, Wanted, training_tags
from convergent.zoo.propose import Proposal, open_clip_family
from convergent.zoo.resolve import propose_for, stub
from convergent.zoo.rows import ModelRow, ScoreRow
from convergent.zoo.sketch import by_network, run_all

Pair = tuple[str, str]


def same_weights(pairs: dict[Pair, dict[str, str]], hubs: dict[Pair, str]) -> dict[Pair, str]:
    """Pairs that are other names of weights already there, with the reason.

    Figures list some weights twice: with and without QuickGELU, of which one is what they
    were trained with, or under two tags. The same repository, or the same value in every
    column, is the same weights.

    Parameters
    ----------
    pairs : dict of (architecture, pretrained) to row
    hubs : dict of (architecture, pretrained) to str
        Repository.
    """

    def doubt(pair: Pair) -> tuple[bool, bool]:
        fits = _quick_gelu(pair) == _trained_with_quick_gelu(pair)
        return not fits, not hubs[pair].endswith(pair[1])

    seen: dict[object, Pair] = {}
    doubles: dict[Pair, str] = {}
    for pair in sorted(pairs, key=doubt):  # stable: else in the figures' order
        values = tuple(v for key, v in pairs[pair].items() if key not in ("name", "pretrained"))
        signs: dict[object, str] = {hubs[pair]: "repository", values: "scores"}
        first = next(((seen[sign], what) for sign, what in signs.items() if sign in seen), None)
        if first is not None:
            doubles[pair] = f"the same {first[1]} as {'.'.join(first[0])}"
        for sign in signs:
            seen.setdefault(sign, first[0] if first else pair)
    return doubles


def trained_architecture(pair: Pair) -> str:
    """Name of the network that the weights were trained as, whatever name the figures use."""
    import open_clip

    quick = f"{pair[0]}-quickgelu"
    if not _trained_with_quick_gelu(pair) or _quick_gelu(pair):
        return pair[0]
    return quick if quick in open_clip.list_models() else pair[0]


def _quick_gelu(pair: Pair) -> bool:
    import open_clip

    return bool(open_clip.get_model_config(pair[0]).get("quick_gelu", False))


def _trained_with_quick_gelu(pair: Pair) -> bool:
    from open_clip.pretrained import get_pretrained_cfg

    return bool(get_pretrained_cfg(*pair).get("quick_gelu", False))


_FILE = "openclip_results.csv"
_SCORES = {
    "imagenet_zeroshot_top1": "ImageNet 1k",
    "imagenet_v2_zeroshot_top1": "ImageNet v2",
    "imagenet_a_zeroshot_top1": "ImageNet-A",
    "imagenet_r_zeroshot_top1": "ImageNet-R",
    "imagenet_sketch_zeroshot_top1": "ImageNet Sketch",
    "objectnet_zeroshot_top1": "ObjectNet",
    "flickr_retrieval": "Flickr",
    "mscoco_retrieval": "MSCOCO",
    "openclip_average_38": "Average perf. on 38 datasets",
}
_COMMENT = """\
{towers} towers of open_clip with published zero-shot scores; made by `convergent models build`.
Parameters are the tower's. Tags: training data; coco, coco-unknown: docs/models.md."""
_SCORES_COMMENT = """\
Scores of both towers together, in percent; made by `convergent models build`."""


def build(
    figures: Figures, jobs: int, wanted: Wanted | None = None, progress: Progress | None = None
) -> Built:
    """Build the tables of open_clip's towers; see `convergent.zoo.build`."""
    left_out: dict[str, str] = {}
    pairs: dict[Pair, dict[str, str]] = {}
    hubs: dict[Pair, str] = {}
    for row in figures.rows(_FILE):
        pair = (row["name"], row["pretrained"])
        name = ".".join(pair)
        try:
            hubs[pair] = _hub(*pair)
            pairs[pair] = row
        except ConvergentError as error:
            left_out[name] = error.what
    for pair, reason in same_weights(pairs, hubs).items():
        left_out[".".join(pair)] = reason
        del pairs[pair]
    if wanted is not None:
        pairs = {pair: row for pair, row in pairs.items() if wanted(".".join(pair))}
        left_out = {name: reason for name, reason in left_out.items() if wanted(name)}
    tables: list[Table] = []
    for modality in ("vision", "language"):
        tables += _tables(figures, modality, pairs, hubs, left_out, jobs, progress)
    return Built(tuple(tables), left_out)


def _hub(architecture: str, pretrained: str) -> str:
    from convergent.models import source

    return source("open_clip").hub_id(architecture, pretrained)


def _tables(
    figures: Figures,
    modality: Modality,
    pairs: dict[Pair, dict[str, str]],
    hubs: dict[Pair, str],
    left_out: dict[str, str],
    jobs: int,
    progress: Progress | None,
) -> list[Table]:
    tower = "image" if modality == "vision" else "text"
    groups = by_network(
        stub("open_clip", trained_architecture(pair), key=".".join(pair), modality=modality)
        for pair in pairs
    )
    results = run_all(propose_for, [group[0] for group in groups], jobs, progress)
    proposals = {
        model.key: result for group, result in zip(groups, results, strict=True) for model in group
    }
    rows, scores = [], []
    origin = figures.origin(_FILE)
    for pair, figure in pairs.items():
        name = ".".join(pair)
        proposal = proposals[name]
        reason = proposal.what if isinstance(proposal, ConvergentError) else ""
        if modality == "language":
            reason = reason or _unread(pair[0])
        if reason or isinstance(proposal, ConvergentError):
            left_out[f"{name} ({tower})"] = reason
            continue
        row = _row(pair, hubs[pair], modality, proposal)
        rows.append(row)
        scores += [
            ScoreRow(
                model=row.model,
                benchmark=benchmark,
                score=round(100 * float(figure[column]), 4),
                source=origin,
            )
            for benchmark, column in _SCORES.items()
            if figure[column]
        ]
    comment = _COMMENT.format(towers=tower.capitalize())
    if not rows:
        return []
    return [
        Table(f"open_clip_{tower}.tsv", rows, comment),
        Table(f"open_clip_{tower}_performance.tsv", scores, _SCORES_COMMENT),
    ]


def _unread(architecture: str) -> str:
    import open_clip

    text = open_clip.get_model_config(architecture)["text_cfg"]
    if "hf_tokenizer_name" in text or "hf_model_name" in text:
        return "its tokenizer is of transformers, which is not read through open_clip"
    return ""


def _row(pair: Pair, hub: str, modality: Modality, proposal: Proposal) -> ModelRow:
    architecture, pretrained = pair
    family = open_clip_family(architecture, pretrained)
    text = modality == "language"
    return ModelRow(
        model=".".join(pair) + (".text" if text else ""),
        family=f"{family}-text" if text else family,
        modality=modality,
        source="open_clip",
        reference=hub,
        architecture=trained_architecture(pair),
        parameters=proposal.parameters,
        layers=proposal.layers,
        widths=proposal.widths,
        layout=proposal.layout,
        # A causal text tower is trained to say everything at the last token.
        pooling="last" if text else proposal.pooling,
        preprocessing={} if text else _preprocessing(pair) | proposal.options,
        attention=("causal" if _causal(architecture) else "bidirectional") if text else "",
        tags=training_tags(architecture, pretrained),
        notes=proposal.notes,
    )


def _causal(architecture: str) -> bool:
    import open_clip

    return not open_clip.get_model_config(architecture)["text_cfg"].get("no_causal_mask", False)


def _preprocessing(pair: Pair) -> dict[str, str]:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    size: Any = open_clip.get_model_config(pair[0])["vision_cfg"].get("image_size", 224)
    config = get_pretrained_cfg(*pair)
    options = {
        "size": str(size[0] if isinstance(size, (list, tuple)) else size),
        "crop": "1",
        "mean": _numbers(config.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        "std": _numbers(config.get("std") or open_clip.OPENAI_DATASET_STD),
        "interpolation": config.get("interpolation") or "bicubic",
    }
    resize = RESIZE_OF[config.get("resize_mode") or "shortest"]
    if resize != "crop":
        options["resize"] = resize
    return options


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.10g}" for value in (values[:1] if len(set(values)) == 1 else values))
