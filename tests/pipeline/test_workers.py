"""Tables and maps are the same bytes whoever reads the stores, and few stores are held at once."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import scores_fixtures as made
from convergent.errors import ConfigError, StoreError
from convergent.pipeline import measure as aggregate
from convergent.pipeline.maps import write_maps
from convergent.pipeline.workers import FAN_IN, worker_mistakes, workers
from convergent.store import StoreRequest, read_store
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


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Make a cluster in this process, of so many workers."""
    distributed = pytest.importorskip("distributed", reason="the extra dask-slurm is not installed")
    monkeypatch.chdir(tmp_path)
    with ExitStack() as opened:
        yield lambda number: opened.enter_context(
            distributed.LocalCluster(
                n_workers=number, threads_per_worker=2, processes=False, dashboard_address=":0"
            )
        )


def test_workers_of_a_dask_cluster_write_the_same_bytes(study, local):
    alone = results(with_workers(study, workers=1))
    address = local(1).scheduler_address
    assert results(with_workers(study, scheduler=address)) == alone
    Path(study.paths.alignment("scenes", "net-d", "final", "layers.1", "s1")).unlink()
    with pytest.raises(StoreError, match="the store is missing"):
        results(with_workers(study, scheduler=address))


def test_jobs_of_slurm_are_asked_for_as_configured_and_let_go(study, local, monkeypatch):
    dask_jobqueue = pytest.importorskip("dask_jobqueue")
    pytest.importorskip("cryptography")
    told = []

    class Cluster:
        def __init__(self, job_cls, **options):
            told.append(options)
            self.opened = local(1)

        def adapt(self, **options):
            told.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            told.append("closed")

    def client(cluster, **options):
        return connect(cluster.opened.scheduler_address, **options)

    import distributed

    connect = distributed.Client
    monkeypatch.setattr(dask_jobqueue, "SLURMCluster", Cluster)
    monkeypatch.setattr(distributed, "Client", client)
    alone = results(with_workers(study, workers=1))
    config = AggregationConfig(
        scheduler="slurm", workers=3, slurm={"queue": "cpu", "memory": "8GB", "cores": 2}
    )
    with workers(config, "logs") as readers:
        assert readers.count == 6
        assert list(readers.each(str, range(30))) == [str(k) for k in range(30)]
    options, kept, end = told
    assert kept == {"minimum_jobs": 3, "maximum_jobs": 3}
    asked = {"cores": 2, "processes": 1, "memory": "8GB", "queue": "cpu", "log_directory": "logs"}
    assert asked.items() <= options.items()
    assert options["security"] is True
    assert options["job_name"].startswith("convergent-workers-")
    assert end == "closed"
    assert results(with_workers(study, scheduler="slurm")) == alone


def test_a_scheduler_without_workers_is_an_error_that_says_so(local):
    address = local(0).scheduler_address
    config = AggregationConfig(scheduler=address, wait_minutes=0.002)
    with (
        pytest.raises(
            ConfigError, match=r"has had no worker for 0.002 minutes.*dask worker inproc"
        ),
        workers(config) as readers,
    ):
        list(readers.each(str, [1]))


def test_an_error_of_a_task_is_its_own(local):
    def fail(_):
        raise PermissionError("not yours")

    with (
        pytest.raises(PermissionError, match="not yours"),
        workers(AggregationConfig(scheduler=local(1).scheduler_address)) as readers,
    ):
        list(readers.each(fail, [1]))


@pytest.fixture
def readers(local):
    with workers(AggregationConfig(scheduler=local(1).scheduler_address)) as opened:
        yield opened


def test_a_worker_with_other_packages_is_refused(readers, monkeypatch):
    import distributed

    asked = distributed.Client.get_versions

    def older(*arguments, **options):
        found = asked(*arguments, **options)
        (worker,) = found["workers"].values()
        worker["packages"] |= {"numpy": "1.0"}
        return found

    monkeypatch.setattr(distributed.Client, "get_versions", older)
    with pytest.raises(ConfigError, match=r"a worker has Python 3.*numpy 1\.0.*this process has"):
        list(readers.each(str, [1]))


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (lambda d: d.KilledWorker("task", None, 3), "workers died while they read a store"),
        (lambda d: d.scheduler.NoWorkerError("task", 60.0), "no worker is left"),
        (lambda d: d.comm.CommClosedError("in reading"), "the dask scheduler is gone"),
    ],
)
def test_what_ends_the_workers_is_an_error_in_one_line(readers, monkeypatch, cause, words):
    import distributed

    def fail(*_, **__):
        raise cause(distributed)

    monkeypatch.setattr(distributed.Client, "gather", fail)
    with pytest.raises(ConfigError, match=rf"{words}\. Fix: .*threads"):
        list(readers.each(str, [1]))


@pytest.mark.parametrize("scheduler", ["slurm", "tcp://127.0.0.1:8786"])
def test_a_missing_package_is_seen_before_a_job_is_submitted(monkeypatch, scheduler):
    monkeypatch.setitem(sys.modules, "distributed", None)
    (mistake,) = worker_mistakes(AggregationConfig(scheduler=scheduler))[:1]
    assert "distributed" in str(mistake) and "convergent[dask-slurm]" in str(mistake)
    assert worker_mistakes(AggregationConfig()) == []


def test_an_unknown_keyword_is_seen_before_a_job_is_submitted():
    pytest.importorskip("dask_jobqueue")
    pytest.importorskip("cryptography")
    config = AggregationConfig(scheduler="slurm", slurm={"queue": "cpu", "accounts": "tests"})
    (mistake,) = worker_mistakes(config)
    assert "unknown keyword 'accounts'" in str(mistake) and "'account'" in str(mistake)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    def refuse(*place, **options):
        raise OSError("timed out")

    monkeypatch.setitem(
        sys.modules, "distributed", SimpleNamespace(Client=refuse, __spec__=object())
    )
    config = AggregationConfig(scheduler="tcp://nowhere:8786")
    with (
        pytest.raises(
            ConfigError, match=r"the dask scheduler at 'tcp://nowhere:8786' does not answer"
        ),
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
        ({"wait_minutes": 0}, "wait_minutes"),
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
    keys = {"dataset": "scenes", "model": "net-b", "checkpoint": "final", "layer": "layers.0"}
    asked = StoreRequest.of(study, "fit", {**keys, "subject": "s1"})
    store = read_store(asked, wanted=lambda _, dims: "target" not in dims)
    assert {"region_fold_r", "region", "cka_null"} <= set(store.arrays)
    assert not {"fold_r", "r", "target_region", "noise_ceiling"} & set(store.arrays)
    np.testing.assert_array_equal(store["region"], made.REGIONS)
