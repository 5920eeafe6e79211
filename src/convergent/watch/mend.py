"""What to run again for files that are not what they should be, and their removal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convergent.study import Study
from convergent.watch.jobs import MODEL_TABLES, jobs_of
from convergent.watch.verify import Finding


@dataclass(frozen=True)
class Mending:
    """What makes a study sound again.

    Attributes
    ----------
    targets : list of str
        One file a job that must run: Snakemake's targets.
    bad : list of str
        Files that are there and should not be.
    derived : list of str
        Tables and report that were made from bad or missing alignment, and are there.
    """

    targets: list[str]
    bad: list[str]
    derived: list[str]


def mending(study: Study, findings: Sequence[Finding]) -> Mending:
    """Say what must be run again and what is in its way.

    Notes
    -----
    Snakemake does not make a file again that is missing while what was made from it is there: the
    tables of an alignment that is wrong have to go too. Features are another matter: they are
    made again when a fit needs them.
    """
    paths = {one.path for one in findings}
    targets = []
    for job in jobs_of(study) if findings else ():
        wrong = next((path for path in job.paths if path in paths), None)
        if wrong is not None:
            targets.append(wrong)
    bad = [one.path for one in findings if one.kind != "missing"]
    derived = [path for path in _derived(study, findings) if Path(path).is_file()]
    return Mending(targets, bad, [path for path in derived if path not in paths])


def _derived(study: Study, findings: Iterable[Finding]) -> list[str]:
    paths, root = study.paths, study.paths.root
    wrong = [one for one in findings if one.path.startswith(f"{root}/alignment/")]
    models = dict.fromkeys(one.model for one in wrong)
    families = dict.fromkeys(study.model(model).family for model in models)
    found = [paths.model(model, table) for model in models for table in MODEL_TABLES]
    tables = [one for one in findings if one.path.endswith((".parquet", ".tsv"))]
    for one in tables:  # a table of a model that cannot be read: its family's is of it
        name = one.path.rpartition("/")[2].rpartition(".")[0]
        if one.path in {paths.model(name, table) for table in MODEL_TABLES}:
            families[study.model(name).family] = None
    found += [paths.family(family, table) for family in families for table in MODEL_TABLES]
    if wrong or tables:
        found += [paths.table(name) for name in study.tables()]
        found += [paths.about, paths.report]
        found += [paths.cube(dataset) for dataset in study.config.datasets]
    return list(dict.fromkeys(found))


def remove(findings: Sequence[Finding], what: Mending) -> int:
    """Remove bad files, what was made from them, and second names of damaged ones.

    Returns
    -------
    int
        Names that were removed.
    """
    damaged = [Path(one.path) for one in findings if one.kind == "damaged"]
    names = [Path(path) for path in (*what.derived, *what.bad)]
    # beside an alignment store lies a link to it, which later fits take metrics from
    names += [path.with_name(f".{path.name}") for path in damaged]
    number = 0
    for path in names:
        if path.exists():
            path.unlink()
            number += 1
    return number
