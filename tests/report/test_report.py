from __future__ import annotations

import dataclasses
import html
import re
import shutil
import subprocess
from html.parser import HTMLParser

import polars as pl
import pytest

import planted
from convergent.report import headlines, methods, render_report, report_tables, verdict, withhold

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VOID = {"meta", "link", "img", "input", "br", "hr"}


@pytest.fixture(scope="module")
def inputs(study):
    return planted.report_inputs(study)


@pytest.fixture(scope="module")
def page(inputs):
    return render_report(inputs)


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


def test_the_page_is_one_file_below_ten_megabytes(page, outline):
    assert len(page.encode()) < 10e6
    assert page.count("plotly.js v") == 1
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


def test_the_headline_carries_number_intervals_and_test(shell):
    section = shell.split('id="headline"')[1].split("</section>")[0]
    assert "Better models align better" in section
    for words in ("when whole families are resampled", "Spearman rho", "permutation p =",
                  "given log10 parameters", "at a fixed relative depth"):  # fmt: skip
        assert words in section


def test_simulated_subjects_are_called_simulated(shell, inputs):
    assert "The subjects of scenes are simulated." in shell
    real = [dataclasses.replace(d, simulated=False) for d in inputs.datasets]
    text = render_light(
        dataclasses.replace(
            inputs, datasets=real, tables=inputs.tables | {"truth": inputs.tables["truth"].clear()}
        )
    )
    assert "simulated.</strong>" not in text
    assert 'id="planted"' not in text


def test_below_the_minimum_no_correlation_is_printed_anywhere(inputs):
    strict = dict(inputs.config) | {"coverage": {"minimum": 1.0}}
    text = render_light(dataclasses.replace(inputs, config=strict))
    shown = re.sub(r"<script\b(?![^>]*json).*?</script>", "", text, flags=re.S)
    assert "The headline is withheld." in shown
    assert "245 of 246 planned fits" in shown
    assert "Line: least squares" not in shown and "performance-alignment r in" not in shown
    assert "Pearson r =" not in shown and "align better:" not in shown


def test_missing_units_are_listed_with_their_reason(shell):
    section = shell.split('id="coverage"')[1].split("</section>")[0]
    assert "block.0: NaN in the output" in section


def test_withholding_keeps_the_rows_and_blanks_the_numbers(inputs):
    strict = dataclasses.replace(inputs, config={"coverage": {"minimum": 1.0}})
    blank = withhold(inputs.tables["correlations"], strict.covered)
    assert blank.height == inputs.tables["correlations"].height
    assert blank["r"].null_count() == blank["p"].null_count() == blank.height


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.9, "better"), (-0.9, -0.1, "worse"), (-0.1, 0.9, "No relation"), (None, None, "few")],
)
def test_the_verdict_follows_the_interval(low, high, words):
    row = {"family_low": low, "family_high": high, "r_low": None, "r_high": None}
    assert words in verdict(row)


def test_fishers_interval_decides_only_where_families_are_too_few():
    row = {"family_low": -0.1, "family_high": 0.9, "r_low": 0.2, "r_high": 0.8}
    assert "these families do not settle it" in verdict(row)
    assert "No relation" in verdict(row | {"r_low": -0.2})
    assert "better" in verdict(row | {"family_low": None, "family_high": None})


def test_a_null_r_gives_its_reason_and_no_number(inputs):
    table = inputs.tables["correlations"].with_columns(
        r=pl.lit(None, dtype=pl.Float64), reason=pl.lit("2 model(s) with both numbers")
    )
    first = headlines(table, frozenset())[0]
    assert first.verdict == "No headline" and first.value == ""


def test_methods_say_what_the_configuration_says(inputs):
    text = " ".join(methods(inputs))
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
    assert "No headline" in text
    assert "performance-alignment" in report_tables(small) or "Figures not drawn" in text


def browse(path, tmp_path, *options):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000",
        *options, "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


SPY = """<script>
const note = (what) => { document.documentElement.dataset.faults =
  (document.documentElement.dataset.faults || "") + what + "; "; };
window.addEventListener("error", (e) => note(e.message || "load"), true);
window.addEventListener("unhandledrejection", (e) => note(String(e.reason)));
document.addEventListener("securitypolicyviolation", (e) => note(e.blockedURI));
for (const level of ["error", "warn"]) {
  const say = console[level]; console[level] = (...w) => { note(w.join(" ")); say(...w); }; }
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_opens_the_page_without_a_console_error(page, tmp_path):
    path = tmp_path / "report.html"
    opened = page.replace('<details class="rotate">', '<details class="rotate" open>')
    path.write_text(opened.replace("<title>", SPY + "<title>", 1), encoding="utf-8")
    seen = browse(path, tmp_path)
    faults = re.search(r'<html[^>]*data-faults="([^"]*)"', seen)
    assert faults is None or faults[1] == ""
    plots = page.count('class="plot"')
    assert plots > 8
    assert len(re.findall(r'class="plot[^"]*js-plotly-plot', seen)) == plots


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_spy_sees_an_error_and_a_request_to_the_network(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<html><head><meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; "
        f"script-src 'unsafe-inline'\">{SPY}</head><body><img src='https://example.invalid/x.png'>"
        "<script>console.error('canary')</script></body></html>",
        encoding="utf-8",
    )
    seen = browse(path, tmp_path)
    assert "canary" in seen.split("data-faults")[1][:400]
    assert "example.invalid" in seen.split("data-faults")[1][:400]


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
