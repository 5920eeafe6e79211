from __future__ import annotations

import dataclasses
import html
import re
from html.parser import HTMLParser

import polars as pl
import pytest

import planted
from convergent.report import (
    QUESTIONS,
    Facts,
    all_answers,
    methods,
    render_report,
    report_tables,
    withhold,
)
from convergent.report.page import unpack

VOID = {"meta", "link", "img", "input", "br", "hr"}


@pytest.fixture(scope="module")
def shell(page):
    """The page without its scripts."""
    return re.sub(r"<script\b.*?</script>", "", page, flags=re.S)


def render_light(inputs):
    """Render without the cortical surface, which is slow to draw and tested elsewhere."""
    tables = report_tables(inputs)
    tables["modality_profile"] = tables["modality_profile"].with_columns(
        region=pl.lit("area ") + pl.col("region")
    )
    return render_report(inputs, tables=tables)


def unpacked(page):
    """The page with its packed data in place, but the plotting library left out."""
    packed = re.compile(r'<script type="text/plain"(?: id="([^"]*)")?>\s*([^<]*?)\s*</script>')
    return packed.sub(lambda m: "" if m[1] == "plotly" else unpack(m[2]), page)


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.faults = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


@pytest.fixture(scope="module")
def outline(shell):
    parser = Outline()
    parser.feed(shell)
    return parser


def test_the_markup_is_balanced_and_ids_are_unique(outline):
    assert outline.faults == [] and outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)


def test_the_page_is_one_file(page, outline):
    assert unpack(page.split('id="plotly">')[1].split("<")[0].strip()).count("plotly.js v") == 1
    sources = [a.get("src") or "" for _, a in outline.tags] + [
        a.get("href") or "" for tag, a in outline.tags if tag == "link"
    ]
    assert all(s.startswith("data:") for s in sources if s)


def test_landmarks_headings_captions_and_alternatives_are_there(outline):
    tags = [tag for tag, _ in outline.tags]
    assert {"header", "nav", "main", "footer"} <= set(tags)
    assert tags.count("h1") == 1 and tags.count("main") == 1
    assert tags.count("table") == tags.count("caption") > 5
    assert tags.count("figure") == tags.count("figcaption") > 8
    for tag, attributes in outline.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "div" and "plot" in (attributes.get("class") or ""):
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
    links = [a["href"][1:] for t, a in outline.tags if t == "a" and a["href"].startswith("#")]
    assert set(links) <= set(outline.ids)


def test_text_from_the_study_is_escaped(page, inputs):
    assert html.escape(inputs.title) in page
    assert "<A planted study>" not in page


def test_a_model_name_cannot_end_the_script(study, inputs):
    name = "</script><b>x"
    swap = pl.when(pl.col("model") == "vis-fam1-m0").then(pl.lit(name)).otherwise("model")
    tables = {
        name: table.with_columns(model=swap) if "model" in table.columns else table
        for name, table in inputs.tables.items()
    }
    text = render_light(dataclasses.replace(inputs, tables=tables))
    assert "</script><b>x" not in text


def test_the_first_screen_asks_four_questions_and_answers_those_it_can(shell):
    section = shell.split('id="answers"')[1].split("</section>")[0]
    cards = re.findall(r"<article.*?</article>", section, flags=re.S)
    assert [html.unescape(re.search(r"<h3[^>]*>(.*?)</h3>", card)[1]) for card in cards] == list(
        QUESTIONS.values()
    )
    first, order, regions, scale = cards
    for words in ("Better models align better", "r = 0.91 [0.74, 0.97]", "12 vision models",
                  'href="#performance-alignment-scenes-top1"', "Permutation p = 0.001",
                  "scenes (simulated)", "1 more answer<", "A third verdict"):  # fmt: skip
        assert words in first
    assert "no-such-figure" not in section, "a link to a figure that is not there"
    assert "No answer" in order and "No answer" in scale
    assert "No gradient" in regions and "See the figure" not in regions
    assert "scenes, vision (simulated)" in regions and "story (" not in first
    for words in ("245 of 246 planned fits", "best control", "random weights", "6 of 6"):
        assert words in section


def test_the_answers_are_those_of_the_registered_functions(inputs):
    text = render_light(inputs)
    section = text.split('id="answers"')[1].split("</section>")[0]
    found = all_answers(report_tables(inputs), Facts(frozenset({"scenes"}), inputs.primary))
    assert found
    for answer in found:
        assert html.escape(answer.verdict) in section and html.escape(answer.value) in section


def test_simulated_subjects_are_called_simulated(shell, inputs):
    assert "The subjects of scenes are simulated." in shell
    real = [dataclasses.replace(d, simulated=False) for d in inputs.datasets]
    text = render_light(
        dataclasses.replace(
            inputs,
            datasets=real,
            tables=inputs.tables | {"simulation_truth": inputs.tables["simulation_truth"].clear()},
        )
    )
    assert "simulated.</strong>" not in text
    assert 'id="planted"' not in text


def test_below_the_minimum_no_correlation_is_printed_anywhere(inputs, page):
    strict = dict(inputs.config) | {"coverage": {"minimum": 1.0}}
    shown = unpacked(render_light(dataclasses.replace(inputs, config=strict)))
    assert "The answers are withheld." in shown
    assert "245 of 246 planned fits" in shown
    assert shown.count('<span class="state">Withheld</span>') == len(QUESTIONS)
    assert "Line: least squares" not in shown and "performance-alignment r in" not in shown
    assert "Pearson r =" not in shown and "align better:" not in shown
    assert "Pearson r =" in unpacked(page), "the test looks where it is printed"


def test_missing_units_are_listed_with_their_reason(shell):
    section = shell.split('id="coverage"')[1].split("</section>")[0]
    assert "block.0: NaN in the output" in section


def test_withholding_keeps_the_rows_and_blanks_the_numbers(inputs):
    strict = dataclasses.replace(inputs, config={"coverage": {"minimum": 1.0}})
    blank = withhold(inputs.tables["correlations"], strict.covered)
    assert blank.height == inputs.tables["correlations"].height
    assert blank["r"].null_count() == blank["p"].null_count() == blank.height


def test_methods_say_what_the_configuration_says(inputs):
    text = " ".join(methods(inputs))
    assert "and 5 volumes on each side of a test block are left out of training" in text
    assert "over 5 folds" in text and "leave-one-out" in text
    assert "10^-1 and 10^8" in text
    assert "delays of 1, 2, 3, 4 volumes" in text
    folds = dict(inputs.config) | {"fit": inputs.config["fit"] | {"selection": "folds", "folds": 7}}
    other = " ".join(methods(dataclasses.replace(inputs, config=folds)))
    assert "over 7 folds" in other and "5 inner folds" in other


def test_one_data_set_with_few_models_still_gives_a_page(study, inputs):
    small = planted.report_inputs(planted.only(study, ["vis-fam0-m0", "vis-control"]))
    small = dataclasses.replace(small, datasets=inputs.datasets[:1])
    text = render_light(small)
    assert 'class="state">Answered' not in text
    assert "Figures not drawn" in text


def test_noise_ceilings_stand_beside_the_scores_of_the_models(study, inputs):
    ceilings = pl.DataFrame(
        {
            "dataset": ["scenes", "scenes"], "metric": ["cka", "cka"], "scale": [None, None],
            "region": ["V1", "V2"], "lower": [0.101, 0.303], "upper": [0.456, None],
            "n_subjects": [3, 3], "n_stimuli": [389, 389],
        },
        schema_overrides={"scale": pl.Float64},
    )  # fmt: skip
    text = render_light(planted.report_inputs(study, ceilings))
    rows = re.findall(r"<tr><th scope=\"row\">cka</th><td>scenes</td>(.*?)</tr>", text)
    (row,) = [row for row in rows if "<td>389</td>" in row]
    cells = re.findall("<td>(.*?)</td>", row)
    assert cells[2:] == ["0.202", "0.456", "3", "389"]
    assert float(cells[0]) < 1 and int(cells[1]) > 1
    words = "beside the noise ceiling"
    assert words in text and words not in render_light(inputs)
