"""The list of jobs is Snakemake's own plan."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from convergent.ops.jobs import SHARED, jobs_of

from convergent.errors import UnknownKeyError
from convergent.study import Study

VARIANTS = [{}, {"fit_granularity": "subject"}, {"granularity": "model"}]


@pytest.mark.parametrize("settings", VARIANTS, ids=["layer", "subject", "model"])
def test_jobs_and_their_logs_are_those_that_snakemake_plans(workflow, monkeypatch, settings):
    workflow.config |= settings
    planned = workflow.snakemake("--dry-run", "--forceall")
    monkeypatch.chdir(workflow.folder)
    jobs = jobs_of(Study.load("study.yaml"))

    text = planned.stdout + planned.stderr
    logs = re.findall(r"^ +log: (\S+)$", text, flags=re.MULTILINE)
    assert Counter(logs) == Counter(job.log for job in jobs)


def test_outputs_are_the_files_that_snakemake_made(workflow, monkeypatch):
    monkeypatch.chdir(workflow.folder)
    for job in jobs_of(Study.load("study.yaml")):
        for path in job.paths:
            assert (workflow.folder / path).is_file()


def test_a_family_has_its_models_jobs_only(small):
    study = small()
    jobs = jobs_of(study, "tiny")
    assert {job.family for job in jobs} == {"tiny"}
    assert len(jobs_of(study)) == sum(len(jobs_of(study, name)) for name in study.families) + sum(
        job.family == SHARED for job in jobs_of(study)
    )
    with pytest.raises(UnknownKeyError, match="did you mean 'tiny'"):
        jobs_of(study, "tinny")
