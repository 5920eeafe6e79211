"""Tables and maps are the same bytes whoever reads the stores, and few stores are held at once."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import dask
import numpy as np
import pytest

import scores_fixtures as made
from convergent.errors import ConfigError, StoreError
from convergent.stages import aggregate
from convergent.stages.maps import write_maps
from convergent.stages.workers import FAN_IN, Asked, read_asked, workers
from convergent.study import AggregationConfig, Study

TABLES = ("measurements", "alignment", "coverage", "resampled")


def results(study: Study) -> list[bytes]:
    aggregate.measure(study, "net-d")
    paths = [study.paths.model("net-d", table) for table in TABLES]
    return [Path(path).read_bytes() for path in [*paths, write_maps(study, "scenes")]]


def with_workers(study: Study, **settings) -> Study:
    config = AggregationConfig(**settings)
    return Study(
        study.config.model_copy(update={"aggregation": config}),
        study.file, study.models, study.published,
    )  # fmt: skip


@pytest.fixture
def study(tmp_path) -> Study:
    return made.made_study(tmp_path)


def test_the_number_of_threads_does_not_show_in_the_results(study):
    alone = results(with_workers(study, workers=1))
    assert results(with_workers(study, workers=7)) == alone


def test_workers_of_a_dask_cluster_write_the_same_bytes(study, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra dask-slurm is not installed")
    alone = results(with_workers(study, workers=1))
    monkeypatch.chdir(tmp_path)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        assert results(with_workers(study, scheduler=cluster.scheduler_address)) == alone
        with pytest.raises(StoreError, match="the store is missing"):
            Path(study.paths.alignment("scenes", "net-d", "final", "layers.1", "s1")).unlink()
            results(with_workers(study, scheduler=cluster.scheduler_address))


class Recorded:
    """Stands for SLURMCluster, and for the client of its scheduler, which computes here."""

    told: ClassVar[list] = []
    asynchronous = False

    def __init__(self, *place, **options):
        self.told.append((type(self).__name__, options))

    def scale(self, **options):
        self.told.append(("scale", options))

    def get(self, graph, keys, **_):
        return dask.get(graph, keys)

    def close(self):
        self.told.append((type(self).__name__, "closed"))


class FakeCluster(Recorded):
    pass


class FakeClient(Recorded):
    pass


def test_jobs_of_slurm_are_asked_for_as_configured_and_let_go(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", SimpleNamespace(SLURMCluster=FakeCluster))
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=FakeClient))
    monkeypatch.setattr(Recorded, "told", [])
    alone = results(with_workers(study, workers=1))
    with workers(
        AggregationConfig(scheduler="slurm", workers=3, slurm={"queue": "cpu", "memory": "8GB"})
    ) as readers:
        assert list(readers.each(str, range(30))) == [str(k) for k in range(30)]
    made, scaled, client, *ends = Recorded.told
    options = {"cores": 1, "processes": 1, "memory": "8GB", "queue": "cpu"}
    assert made == ("FakeCluster", options) and scaled == ("scale", {"jobs": 3})
    assert client[0] == "FakeClient"
    assert ends == [("FakeClient", "closed"), ("FakeCluster", "closed")]
    assert results(with_workers(study, scheduler="slurm")) == alone


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    def refuse(*place, **options):
        raise OSError("timed out")

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=refuse))
    config = AggregationConfig(scheduler="tcp://nowhere:8786")
    with (
        pytest.raises(ConfigError, match=r"no dask scheduler answers at 'tcp://nowhere:8786'"),
        workers(config),
    ):
        pass


@pytest.mark.parametrize(
    ("scheduler", "package"),
    [("slurm", "dask-jobqueue"), ("tcp://127.0.0.1:8786", "distributed")],
)
def test_a_missing_package_is_named_with_its_remedy(study, monkeypatch, scheduler, package):
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(ConfigError, match=rf"{package}.*convergent\[dask-slurm\]"):
        aggregate.measure(with_workers(study, scheduler=scheduler), "net-a")
    assert not Path(study.paths.model("net-a")).exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheduler": "processes"}, "scheduler"),
        ({"workers": 0}, "workers"),
        ({"slurm": {"queue": "cpu"}}, "the scheduler is another"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        AggregationConfig(**settings)


def test_results_come_in_order_and_few_more_than_asked_for_are_under_way():
    started = []
    with workers(AggregationConfig(workers=2)) as readers:
        found = readers.each(lambda item: started.append(item) or item**2, iter(range(1000)))
        assert [next(found) for _ in range(3)] == [0, 1, 4]
        assert len(started) < 50
        assert list(found) == [k**2 for k in range(3, 1000)]


def test_a_reduction_holds_few_results_at_once():
    lock, held, most = threading.Lock(), set(), 0

    def make(item):
        nonlocal most
        with lock:
            held.add(item)
            most = max(most, len(held))
        return [item]

    def merge(parts):
        joined = [item for part in parts for item in part]
        with lock:
            held.difference_update(joined[1:])  # one result stands for all that are in it
        return joined

    with workers(AggregationConfig(workers=2)) as readers:
        assert readers.reduce(make, range(FAN_IN**3), merge) == list(range(FAN_IN**3))
    assert most <= 4 * FAN_IN


def test_tables_need_nothing_that_is_said_of_single_targets(study):
    path = study.paths.alignment("scenes", "net-b", "final", "layers.0", "s1")
    identity = study.identity(
        "fit", dataset="scenes", model="net-b", checkpoint="final", layer="layers.0"
    )
    store = read_asked(Asked(path, identity, "here"), lambda _, dims: "target" not in dims)
    assert {"region_fold_r", "region", "cka_null"} <= set(store.arrays)
    assert not {"fold_r", "r", "target_region", "noise_ceiling"} & set(store.arrays)
    np.testing.assert_array_equal(store["region"], made.REGIONS)
