"""The list of jobs is Snakemake's own plan."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from convergent.errors import UnknownKeyError
from convergent.study import Study
from convergent.study.graph import SHARED

VARIANTS = [{}, {"fit_granularity": "subject"}, {"granularity": "model"}]


@pytest.mark.parametrize("settings", VARIANTS, ids=["layer", "subject", "model"])
def test_jobs_and_their_logs_are_those_that_snakemake_plans(workflow, monkeypatch, settings):
    workflow.config |= settings
    planned = workflow.snakemake("--dry-run", "--forceall")
    monkeypatch.chdir(workflow.folder)
    jobs = Study.load("study.yaml").graph.jobs

    text = planned.stdout + planned.stderr
    logs = re.findall(r"^ +log: (\S+)$", text, flags=re.MULTILINE)
    assert Counter(logs) == Counter(job.log for job in jobs)


def test_outputs_are_the_files_that_snakemake_made(workflow, monkeypatch):
    monkeypatch.chdir(workflow.folder)
    for job in Study.load("study.yaml").graph.jobs:
        for path in job.outputs:
            assert (workflow.folder / path).exists()


def test_a_family_has_its_models_jobs_only(workflow, monkeypatch):
    monkeypatch.chdir(workflow.folder)
    workflow.write()
    study = Study.load("study.yaml")
    jobs = study.graph.jobs_of("tiny")
    assert {job.family for job in jobs} == {"tiny"}
    assert len(study.graph.jobs) == sum(
        len(study.graph.jobs_of(name)) for name in study.families
    ) + sum(job.family == SHARED for job in study.graph.jobs)
    with pytest.raises(UnknownKeyError, match="did you mean 'tiny'"):
        study.graph.jobs_of("tinny")
