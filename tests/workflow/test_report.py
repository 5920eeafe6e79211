"""Snakemake's own report of a finished study."""

from __future__ import annotations

import re
import zipfile

import pytest

pytestmark = pytest.mark.slow


def test_snakemakes_report_holds_the_page_and_the_figures_and_needs_no_network(workflow):
    workflow.snakemake("--report", "report.zip")
    with zipfile.ZipFile(workflow.folder / "report.zip") as archive:
        names = archive.namelist()
        (outer,) = [name for name in names if re.fullmatch(r"[^/]+/report\.html", name)]
        (page,) = [n for n in names if n.endswith("/report.html") and n != outer]
        shell = archive.read(outer).decode()
        inner = archive.read(page).decode()
    assert inner == (workflow.folder / "results/small/report.html").read_text()
    drawn = {path.name for path in (workflow.folder / "results/small/figures").iterdir()}
    kept = {name.rsplit("/", 1)[1] for name in names}
    assert {name for name in drawn if name.endswith((".svg", ".tsv"))} <= kept
    for text in (shell, inner):
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=[\"']?https?:", text)
    assert "Figures and their data" in shell and "opens offline" in shell
