"""A comparison in words: one line, titled tables, and one page that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from jinja2 import Environment, select_autoescape

from convergent.tables.comparison import Change, Comparison
from convergent.tables.comparison_scores import EDGES


def verdict(found: Comparison) -> str:
    """Say in one line whether the two are the same, and what is not."""
    scores = found.scores
    if not scores.shared:
        return f"nothing to compare: no measurement is in both {found.a} and {found.b}"
    parts = [_scores_in_words(found), *_held_in_words(found), *_claims_in_words(found)]
    facts = found.facts
    if facts.weights:
        parts.append(f"weights of {_count(len(facts.weights), 'checkpoint')} differ")
    if facts.configuration:
        parts.append(f"{_count(len(facts.configuration), 'configuration key')} differ")
    if facts.software:
        parts.append(f"{_count(len(facts.software), 'version')} of software differ")
    return "; ".join(parts)


def _scores_in_words(found: Comparison) -> str:
    scores = found.scores
    size = f"{scores.tolerance:g}"
    everything = not (scores.only_a or scores.only_b)
    if scores.same:
        if everything:
            models = _count(scores.models.height, "model")
            return f"identical within {size}: all {scores.shared:,} measurements of {models}"
        return f"the {scores.shared:,} shared measurements are identical within {size}"
    changed = scores.models.filter(
        (scores.models["changed"] > 0) | (scores.models["one_sided"] > 0)
    )
    text = f"{changed.height} of {_count(scores.models.height, 'model')} changed"
    if scores.changed:
        text += (
            f": {scores.changed:,} of {scores.compared:,} shared scores differ by more than "
            f"{size}, the largest by {scores.greatest:.3g}"
        )
    if scores.one_sided:
        text += f"; {_count(scores.one_sided, 'shared measurement')} have a score on one side alone"
    return text


def _claims_in_words(found: Comparison) -> list[str]:
    """Performance and headline: they may move while every measurement stays."""
    size = found.scores.tolerance
    moved = found.performance.filter(pl.col("change").abs() > size)
    texts = [f"{_count(moved.height, 'performance score')} changed"] if moved.height else []
    r = found.headline.filter(pl.col("number") == "r")["change"].abs().drop_nulls()
    largest = float(r.max() or 0.0) if len(r) else 0.0  # type: ignore[arg-type]
    if largest > size:
        texts.append(f"headline r changed by up to {largest:.3g}")
    return texts


def _held_in_words(found: Comparison) -> list[str]:
    texts = []
    for name, held in ((found.a, found.facts.only_a), (found.b, found.facts.only_b)):
        some = [f"{len(names)} {what}" for what, names in held.items() if names]
        if some:
            texts.append(f"only in {name}: {', '.join(some)}")
    scores = found.scores
    if not texts and (scores.only_a or scores.only_b):
        texts.append(
            f"{scores.only_a:,} measurements only in {found.a}, {scores.only_b:,} only in {found.b}"
        )
    return texts


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class Section:
    """One table: its title, a note, its columns (with whether they are numbers) and rows."""

    title: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]
    note: str = ""


def sections(found: Comparison, *, most: int = 15) -> list[Section]:
    """Everything that differs, as tables; sections without rows are left out.

    Parameters
    ----------
    found : Comparison
    most : int
        Rows a table; the note says how many there are.
    """
    made = [
        _held(found),
        _changes("Configuration", found, found.facts.configuration, most),
        _changes("Software", found, found.facts.software, most),
        _changes("Weights (SHA-256)", found, found.facts.weights, most),
        _headline(found, most),
        _frame(found, "Performance", _moved(found.performance), most),
        _frame(found, f"Alignment ({found.primary}, shared subjects and regions)",
               _moved(found.alignment), most),
        _classes(found),
        _columns(found),
        _frame(found, "Scores by model", _moved_scores(found.scores.models), most),
        _frame(found, "Scores by metric", _moved_scores(found.scores.metrics), most),
        _frame(found, "Largest differences", found.scores.largest, most),
    ]  # fmt: skip
    return [section for section in made if section.rows]


def _held(found: Comparison) -> Section:
    facts = found.facts
    rows = []
    for what, both in facts.both.items():
        names = [
            f"{side}: {_some(only[what])}"
            for side, only in ((found.a, facts.only_a), (found.b, facts.only_b))
            if only[what]
        ]
        counts = (both, len(facts.only_a[what]), len(facts.only_b[what]))
        rows.append([what, *(f"{count:,}" for count in counts), "; ".join(names)])
    columns = [("", False), ("in both", True), (f"only {found.a}", True),
               (f"only {found.b}", True), ("which", False)]  # fmt: skip
    return Section("What they hold", columns, rows, "layers and checkpoints: of shared models")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _changes(title: str, found: Comparison, changes: Sequence[Change], most: int) -> Section:
    columns = [("", False), (found.a, False), (found.b, False)]
    return Section(title, columns, [list(c) for c in changes[:most]], _more(len(changes), most))


# Numbers that are shown side by side; the JSON has all of them.
_SHOWN = ("n_models", "r", "low", "high", "p", "rho", "partial_r")


def _headline(found: Comparison, most: int) -> Section:
    """One row a question, each number as A, B and the change."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    keys: list[str] = [
        name for name in ("dataset", "benchmark", "choice") if name in found.headline.columns
    ]
    for row in found.headline.iter_rows(named=True):
        if row.get("measure", "score") == "score" and row["number"] in _SHOWN:
            cells = rows.setdefault(tuple(str(row[key]) for key in keys), {})
            cells[row["number"]] = _from_to(row["a"], row["b"])
    names = [name for name in _SHOWN if any(name in cells for cells in rows.values())]
    columns = [*((key, False) for key in keys), *((name, False) for name in names)]
    shown = [[*key, *(cells.get(name, "") for name in names)] for key, cells in rows.items()]
    return Section("Headline (all regions)", columns, shown[:most], _more(len(shown), most))


def _from_to(a: float | None, b: float | None) -> str:
    if a == b or a is None or b is None:
        return _cell(a) if a == b else f"{_cell(a) or 'none'} → {_cell(b) or 'none'}"
    return f"{a:.4g} → {b:.4g} ({b - a:+.2g})"


def _moved(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("change").abs() > 0)


def _moved_scores(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter((pl.col("largest") > 0) | (pl.col("one_sided") > 0))


def _classes(found: Comparison) -> Section:
    scores = found.scores
    ends: list[float | None] = [*EDGES[1:], None]
    names = ["0 (equal)"]
    for low, high in zip(EDGES, ends, strict=True):
        names.append(f"{low:g} and more" if high is None else f"{low:g} to {high:g}")
    rows = [
        [name, f"{count:,}", f"{100 * count / scores.compared:.3g} %"]
        for name, count in zip(names, scores.classes.tolist(), strict=True)
        if count
    ]
    columns = [("|difference|", False), ("scores", True), ("share", True)]
    return Section("Differences of shared scores", columns, rows)


def _columns(found: Comparison) -> Section:
    rows = [
        [name, f"{n['changed']:,}", f"{n['one_sided']:,}", f"{n['largest']:.3g}"]
        for name, n in found.scores.columns.items()
        if n["largest"] > 0 or n["one_sided"]
    ]
    columns = [("column", False), (f"differ by more than {found.scores.tolerance:g}", True),
               ("on one side alone", True), ("largest", True)]  # fmt: skip
    return Section("Columns of shared measurements", columns, rows)


def _frame(found: Comparison, title: str, rows: pl.DataFrame, most: int) -> Section:
    names = {"a": found.a, "b": found.b, "difference": "change"}
    columns = [(names.get(name, name), kind.is_numeric()) for name, kind in rows.schema.items()]
    shown = [[_cell(value) for value in row] for row in rows.head(most).iter_rows()]
    return Section(title, columns, shown, _more(rows.height, most))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _more(count: int, most: int) -> str:
    return f"{most} of {count:,}" if count > most else ""


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ a }} and {{ b }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 72rem;
       margin: 0 auto; padding: 1rem; }
.verdict { font-size: 1.2rem; border-left: 4px solid #0b5fa5; padding-left: .8rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .6rem; text-align: left;
         vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #555; }
</style>
</head>
<body>
<main>
<h1>{{ a }} and {{ b }}</h1>
<p class="verdict">{{ verdict }}</p>
<p>A change is {{ b }} less {{ a }}.
{%- for side in unrecorded %} {{ side }} does not say what it was made from.{% endfor %}</p>
{% for section in sections %}
<section>
<h2>{{ section.title }}</h2>
<div class="scroll" tabindex="0" role="region" aria-label="{{ section.title }}">
<table>
{% if section.note %}<caption>{{ section.note }}</caption>{% endif %}
<thead><tr>
{% for name, number in section.columns %}
<th scope="col"{% if number %} class="number"{% endif %}>{{ name }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in section.rows %}
<tr>{% for cell in row %}<td{% if section.columns[loop.index0][1] %} class="number"{% endif %}>
{{- cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
</section>
{% endfor %}
</main>
</body>
</html>
"""


def comparison_page(found: Comparison, *, most: int = 200) -> str:
    """Write a comparison as HTML, with at most so many rows a table."""
    environment = Environment(autoescape=select_autoescape(default=True), trim_blocks=True)
    return environment.from_string(_PAGE).render(
        a=found.a,
        b=found.b,
        verdict=verdict(found),
        sections=sections(found, most=most),
        unrecorded=found.facts.unrecorded,
    )
