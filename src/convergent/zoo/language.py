"""The table of language models: a registry, architectures and the published scores."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergent.errors import ConvergentError, DataError, ModelError
from convergent.study.tables import Row, read_rows
from convergent.zoo.build import Built, Figures, Progress, Table, Wanted
from convergent.zoo.rows import ModelRow, ScoreRow
from convergent.zoo.sketch import run_all
from convergent.zoo.sketch_transformers import (
    ARCHITECTURES,
    Published,
    count_parameters,
    empty_network,
    is_causal,
    layer_paths,
    layer_widths,
    published_parameters,
    read_architecture,
    read_published,
)

SOURCE = "Open LLM Leaderboard v2"
# Column of the file: benchmark of the table.
_BENCHMARKS = {
    "average": "open_llm_average",
    "ifeval": "ifeval",
    "bbh": "bbh",
    "math_lvl5": "math_lvl5",
    "gpqa": "gpqa",
    "musr": "musr",
    "mmlu_pro": "mmlu_pro",
}
_COLUMNS = ("model", "revision", "precision", "flagged", "submission_date", *_BENCHMARKS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One evaluation.

    Attributes
    ----------
    name : str
        Hub id at that time.
    revision : str
        Commit that was evaluated; empty where the file has none.
    precision : str
    submitted : str
        Date, ISO 8601.
    scores : dict of str to float
        Average and its six parts, 0 to 100, by benchmark.
    """

    name: str
    revision: str
    precision: str
    submitted: str
    scores: dict[str, float]

    @property
    def source(self) -> str:
        """For the column of that name."""
        commit = self.revision[:7] or "unknown commit"
        return f"{SOURCE}, {self.name} at {commit}, {self.precision}"


def read_leaderboard(path: Path) -> dict[str, list[Entry]]:
    """Read evaluations by model name, without those that the leaderboard flagged.

    Raises
    ------
    DataError
        The file is missing, or lacks a column, or a score is none.
    """
    import polars as pl

    if not path.is_file():
        raise DataError(
            "no such file", where=str(path), fix="give the folder of the published figures"
        )
    table = pl.read_parquet(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"no column '{missing[0]}'", where=str(path))
    found: dict[str, list[Entry]] = {}
    for row in table.select(_COLUMNS).iter_rows(named=True):
        if row["flagged"]:
            continue
        scores = {name: float(row[column]) for column, name in _BENCHMARKS.items()}
        if not all(math.isfinite(score) and 0 <= score <= 100 for score in scores.values()):
            raise DataError(f"'{row['model']}' has a score outside 0 to 100", where=str(path))
        commit = row["revision"] or ""
        entry = Entry(
            name=row["model"],
            revision=commit if re.fullmatch(r"[0-9a-f]{40}", commit) else "",
            precision=row["precision"],
            submitted=row["submission_date"] or "",
            scores=scores,
        )
        found.setdefault(entry.name, []).append(entry)
    return found


def chosen(entries: list[Entry]) -> Entry | None:
    """Evaluation that stands for a model that was evaluated several times.

    One of a known commit before the others, bfloat16 before other precisions, then the newest.
    """
    order = sorted(
        entries,
        key=lambda entry: (
            bool(entry.revision),
            entry.precision == "bfloat16",
            entry.submitted,
            entry.name,
        ),
    )
    return order[-1] if order else None


MODELS, SCORES = "language.tsv", "language_performance.tsv"
LEADERBOARD = "open_llm_leaderboard_v2.parquet"
COMMENT = f"""\
Language models; columns: config/README.md. Made by `convergent models build` from
transformers/registry.tsv, the architectures beside it, and the {SOURCE}.
parameters: of the network that is loaded (AutoModel: no output head; T5 with its decoder).
revision: the commit that the leaderboard evaluated, else empty: `convergent models pin`."""
SCORES_COMMENT = f"""\
Scores of language models, 0 to 100, normalised so that 0 is chance, from the
{SOURCE} (open-llm-leaderboard/contents, early 2025). Where a model was evaluated
several times: none that was flagged; one of a known commit before the others; bfloat16 before
float16; then the newest. Made by `convergent models build`."""
_MODEL_COLUMNS = ("model", "family", "reference", "architecture", "published", "tags")
_PRECISIONS = ("float32", "bfloat16", "float16")
_LARGE = 3_300_000_000


@dataclass(frozen=True, slots=True)
class Network:
    """What a table says about a network, measured on the meta device."""

    parameters: int
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    attention: str


def build(
    figures: Figures, jobs: int, wanted: Wanted | None = None, progress: Progress | None = None
) -> Built:
    """Build the tables of language models; see `convergent.zoo.build_tables`."""
    return build_language(figures.folder / LEADERBOARD, jobs=jobs, wanted=wanted, progress=progress)


def build_language(
    leaderboard: Path,
    directory: Path = ARCHITECTURES,
    *,
    jobs: int = 1,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
) -> Built:
    """Make ``language.tsv`` and ``language_performance.tsv``.

    Parameters
    ----------
    leaderboard : Path
        Contents of the Open LLM Leaderboard v2 (parquet).
    directory : Path
        With ``registry.tsv``, ``sources.tsv`` and the architectures.
    jobs, wanted, progress
        See `convergent.zoo.build_tables`; names are hub ids.

    Returns
    -------
    Built
        Left out are scored models of the same makers that the registry does not have.

    Raises
    ------
    TableError
        A line of the registry is wrong.
    ModelError
        A network cannot be built, or has another number of parameters than published.
    """
    entries = read_leaderboard(leaderboard)
    lines = [
        row
        for row in read_rows(
            directory / "registry.tsv", _MODEL_COLUMNS, ("prompt", "leaderboard", "notes")
        )
        if wanted is None or wanted(row.text("reference"))
    ]
    networks = _networks([row.text("architecture") for row in lines], directory, jobs, progress)
    models: list[ModelRow] = []
    scores: list[ScoreRow] = []
    taken: set[str] = set()
    for row in lines:
        names = (row.text("reference"), *row.values.get("leaderboard", "").split())
        taken.update(names)
        entry = chosen([entry for name in names for entry in entries.get(name, ())])
        model = _model_row(row, entry, networks[row.text("architecture")])
        models.append(model)
        if entry is not None:
            scores += [
                ScoreRow(model=model.model, benchmark=name, score=score, source=entry.source)
                for name, score in entry.scores.items()
            ]
    makers = {name.partition("/")[0] for name in taken if "/" in name}
    others = [name for name in entries if name.partition("/")[0] in makers and name not in taken]
    reason = f"scored, but not in {directory / 'registry.tsv'}"
    tables = (Table(MODELS, models, COMMENT), Table(SCORES, scores, SCORES_COMMENT))
    return Built(
        tuple(table for table in tables if table.rows),
        dict.fromkeys(others, reason) if wanted is None else {},
    )


def _networks(
    names: list[str], directory: Path, jobs: int, progress: Progress | None
) -> dict[str, Network]:
    published, distinct = read_published(directory), list(dict.fromkeys(names))
    work = [(read_architecture(name, directory), published[name]) for name in distinct]
    found: dict[str, Network] = {}
    for name, result in zip(distinct, run_all(measured, work, jobs, progress), strict=True):
        if isinstance(result, ConvergentError):
            where = str(directory / f"{name}.json")
            raise ModelError(result.what, where=where, fix=result.fix) from result
        found[name] = result
    return found


def _model_row(row: Row, entry: Entry | None, network: Network) -> ModelRow:
    published: str = row.choice("published", _PRECISIONS)
    decoder = network.attention == "causal"
    return ModelRow(
        model=row.key("model"),
        family=row.key("family"),
        modality="language",
        source="transformers",
        reference=row.text("reference"),
        revision=entry.revision if entry else "",
        architecture=row.text("architecture"),
        parameters=network.parameters,
        layers=network.layers,
        widths=network.widths,
        layout="tokens",
        pooling="mean",
        precision=precision_of(network.parameters, published),
        preprocessing=_text_options(decoder, row.values.get("prompt", "")),
        attention=network.attention,
        tags=tuple(row.text("tags").split()),
        notes=row.values.get("notes", ""),
    )


def _text_options(decoder: bool, prompt: str) -> dict[str, str]:
    # A decoder's first token is an attention sink, with a vector a hundred times as long.
    options = {"skip_first_token": "yes"} if decoder else {}
    return options | ({"prompt": f"{prompt} "} if prompt else {})


def precision_of(parameters: int, published: str) -> str:
    """Precision in which a network computes.

    Up to 3.3 billion parameters float32, which a GPU or a desktop computer holds and which
    neither rounds nor overflows; above that the 16-bit kind that the weights are published
    in, so that they are loaded as they are; float32 weights become bfloat16, which has their
    range.

    Examples
    --------
    >>> precision_of(1_300_000_000, "float16"), precision_of(6_700_000_000, "float16")
    ('float32', 'float16')
    >>> precision_of(7_000_000_000, "float32")
    'bfloat16'
    """
    if parameters <= _LARGE:
        return "float32"
    return "bfloat16" if published == "float32" else published


def measured(described: tuple[dict[str, Any], Published]) -> Network:
    """Build a network on the meta device, check it against its published size, and measure it.

    Parameters
    ----------
    described : (dict, Published)
        Configuration and published number of parameters.

    Raises
    ------
    ModelError
        It has another number of parameters than published, or cannot be built.
    """
    configuration, published = described
    counted = published_parameters(configuration, published.counted)
    if not published.agrees(counted):
        raise ModelError(
            f"{counted:,} parameters, but {published.text} are published ({published.source})",
            fix="correct the dimensions, or the row in sources.tsv",
        )
    module = empty_network(configuration)
    paths = layer_paths(module)
    return Network(
        parameters=count_parameters(module),
        layers=tuple(paths),
        widths=tuple(layer_widths(module, paths)),
        attention="causal" if is_causal(configuration["model_type"]) else "bidirectional",
    )
