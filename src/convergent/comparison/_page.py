"""A comparison as one page that opens offline."""

from __future__ import annotations

from jinja2 import Environment, select_autoescape

from convergent.comparison._compare import Comparison
from convergent.comparison._sections import sections
from convergent.comparison._words import verdict

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
