"""The table of language models: a registry, architectures and the published scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convergent.errors import ModelError
from convergent.study._tables import Row, read_rows
from convergent.zoo._architectures import ARCHITECTURES, read_architecture, read_published
from convergent.zoo._empty_network import (
    count_parameters,
    empty_network,
    layer_widths,
    published_parameters,
)
from convergent.zoo._language_layers import is_causal, layer_paths
from convergent.zoo._leaderboard import SOURCE, Entry, read_leaderboard
from convergent.zoo._rows import ModelRow, ScoreRow

COMMENT = f"""\
Language models; columns: config/README.md. Made by `convergent models build` from
transformers/registry.tsv, the architectures beside it, and the {SOURCE}.
parameters: of the network that is loaded (AutoModel: no output head; T5 with its decoder).
revision: the commit that the leaderboard evaluated, else empty: `convergent models pin`.
"""
SCORES_COMMENT = f"""\
Scores of language models, 0 to 100, normalised so that 0 is chance, from the
{SOURCE} (open-llm-leaderboard/contents, early 2025). Where a model was evaluated
several times: none that was flagged; one of a known commit before the others; bfloat16 before
float16; then the newest. Made by `convergent models build`.
"""
_COLUMNS = ("model", "family", "reference", "architecture", "published", "tags")
_PRECISIONS = ("float32", "bfloat16", "float16")
_LARGE = 3_300_000_000


@dataclass(frozen=True, slots=True)
class Network:
    """What a table says about a network, measured on the meta device."""

    parameters: int
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    attention: str


def build_language(
    leaderboard: Path, directory: Path = ARCHITECTURES
) -> tuple[list[ModelRow], list[ScoreRow]]:
    """Make the rows of ``language.tsv`` and ``language_performance.tsv``.

    Parameters
    ----------
    leaderboard : Path
        Contents of the Open LLM Leaderboard v2 (parquet).
    directory : Path
        With ``registry.tsv``, ``sources.tsv`` and the architectures.

    Returns
    -------
    models : list of ModelRow
    scores : list of ScoreRow
        None for models that the leaderboard does not have.

    Raises
    ------
    TableError
        A line of the registry is wrong.
    ModelError
        A network cannot be built, or has another number of parameters than published.
    """
    entries = read_leaderboard(leaderboard)
    models: list[ModelRow] = []
    scores: list[ScoreRow] = []
    for row in read_rows(directory / "registry.tsv", _COLUMNS, ("leaderboard", "notes")):
        names = (row.text("reference"), *row.values.get("leaderboard", "").split())
        entry = _chosen([entry for name in names for entry in entries.get(name, ())])
        model = _model_row(row, entry, directory)
        models.append(model)
        if entry is not None:
            scores += [
                ScoreRow(model=model.model, benchmark=name, score=score, source=entry.source)
                for name, score in entry.scores.items()
            ]
    return models, scores


def _chosen(entries: list[Entry]) -> Entry | None:
    # Names of one repository are evaluated apart; the rule is written above the table.
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


def _model_row(row: Row, entry: Entry | None, directory: Path) -> ModelRow:
    architecture = row.text("architecture")
    network = measured(architecture, directory)
    published: str = row.choice("published", _PRECISIONS)
    decoder = network.attention == "causal"
    return ModelRow(
        model=row.key("model"),
        family=row.key("family"),
        modality="language",
        source="transformers",
        reference=row.text("reference"),
        revision=entry.revision if entry else "",
        architecture=architecture,
        parameters=network.parameters,
        layers=network.layers,
        widths=network.widths,
        layout="tokens",
        pooling="mean",
        precision=precision_of(network.parameters, published),
        # A decoder's first token is an attention sink, with a vector a hundred times as long.
        preprocessing={"skip_first_token": "yes"} if decoder else {},
        attention=network.attention,
        tags=tuple(row.text("tags").split()),
        notes=row.values.get("notes", ""),
    )


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


@cache
def measured(architecture: str, directory: Path = ARCHITECTURES) -> Network:
    """Build a network on the meta device, check it against its published size, and measure it.

    Raises
    ------
    ModelError
        It has another number of parameters than published, or cannot be built.
    """
    configuration = read_architecture(architecture, directory)
    published = _published(directory)[architecture]
    counted = published_parameters(configuration, published.counted)
    if not published.agrees(counted):
        raise ModelError(
            f"{counted:,} parameters, but {published.text} are published ({published.source})",
            where=str(directory / f"{architecture}.json"),
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


_published = cache(read_published)
