"""Figures and the report."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from convergent.errors import StoreError
from convergent.figures import draw_all
from convergent.pipeline.data import read_responses, read_stimuli
from convergent.report import DatasetFacts, ReportInputs, render_report, report_tables
from convergent.store import attributes, publish, software, stamp
from convergent.study import Study
from convergent.tables.frames import read_requested, study_request


def write_report(study: Study) -> str:
    """Draw every figure (SVG, PDF and the tidy data behind it) and write the page.

    Returns
    -------
    str
        Path of the report.
    """
    _check_tables(study)
    inputs = _inputs(study)
    tables = report_tables(inputs)
    drawings, not_drawn = draw_all(tables)
    folder = Path(study.paths.figures)
    working = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        for drawing in drawings:
            (working / f"{drawing.name}.svg").write_text(drawing.svg(), encoding="utf-8")
            (working / f"{drawing.name}.pdf").write_bytes(drawing.pdf())
            drawing.data.write_csv(working / f"{drawing.name}.tsv", separator="\t")
        page = render_report(inputs, tables=tables, drawings=drawings, not_drawn=not_drawn)
        shutil.rmtree(folder, ignore_errors=True)
        working.rename(folder)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    with publish(study.paths.report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return study.paths.report


def _check_tables(study: Study) -> None:
    """Refuse tables of other settings: another primary metric would give its numbers a wrong name.

    Raises
    ------
    StoreError
    """
    said = attributes(study.paths.about)
    if said.get("identity") == study.identity("correlate"):
        return
    primary, wanted = said.get("primary"), study.config.fit.primary_metric
    other = f"the primary metric {primary}, and the study's is {wanted}"
    raise StoreError(
        f"the study's tables are of {other if primary != wanted else 'other settings'}",
        where=study.paths.about,
        fix="run `convergent correlate` again, or the workflow",
    )


def _inputs(study: Study) -> ReportInputs:
    tables = {name: read_requested(study_request(study, name)) for name in study.tables()}
    return ReportInputs(
        study=study.name,
        title=study.config.title,
        description=study.config.description,
        config=study.config.model_dump(mode="json"),
        datasets=[_facts(study, name) for name in study.config.datasets],
        tables=tables,
        primary=study.config.fit.primary_metric,
        provenance=_provenance(study),
        data_folder=Path(study.paths.figures).name,
    )


def _facts(study: Study, name: str) -> DatasetFacts:
    config = study.dataset(name)
    stimuli = read_stimuli(study, name)
    _, store = read_responses(study, name, config.subjects[0])
    source = store.attrs["source"]
    return DatasetFacts(
        name=name,
        modality=config.modality,
        design=config.design,
        subjects=config.subjects,
        simulated=bool(store.attrs["simulated"]),
        stimuli=len(stimuli),
        regions=len(store["region"]),
        licence=str(source.get("license", "")),
        citation=str(source.get("citation", "")),
        description=str(source.get("description", "")),
    )


def _provenance(study: Study) -> dict[str, str]:
    digests = {f"stimuli of {name}": read_stimuli(study, name).digest[:16] for name in
               study.config.datasets}  # fmt: skip
    return {
        "written": stamp(),
        "configuration": study.file,
        "code": _commit(),
        **software(),
        **digests,
    }


def _commit() -> str:
    """Commit of the working copy that the study is run from; empty outside of one."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""
