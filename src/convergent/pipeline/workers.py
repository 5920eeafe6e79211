"""Work on many stores at once, on dask: threads of this process, or workers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from convergent.errors import ConfigError, StoreError
from convergent.pipeline.remote_workers import at_address, checked, on_slurm
from convergent.pipeline.worker_jobs import absent, keyword_mistakes
from convergent.store import Store, read_store
from convergent.store.recorded import FitIdentity
from convergent.store.zarr_format import WantedArrays
from convergent.study import AggregationConfig, Study

# Results that are merged at once; the order of sums does not depend on who computes them.
FAN_IN = 8
# Tasks that are out at a time, for each worker.
_AHEAD = 2

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class StoreRequest:
    """An alignment store, and the settings that it must have been made with."""

    path: str
    identity: FitIdentity
    where: str

    @classmethod
    def of(
        cls, study: Study, dataset: str, model: str, checkpoint: str, layer: str, subject: str
    ) -> StoreRequest:
        """Ask for one layer and subject."""
        path = study.paths.alignment(dataset, model, checkpoint, layer, subject)
        keys = {"dataset": dataset, "model": model, "checkpoint": checkpoint, "layer": layer}
        return cls(
            str(Path(path).absolute()),  # workers on other machines start in other directories
            FitIdentity.of(study, **keys),
            f"model '{model}', checkpoint '{checkpoint}', layer '{layer}', subject '{subject}'",
        )


def read_requested(asked: StoreRequest, wanted: WantedArrays) -> Store:
    """Read what is wanted of a store.

    Raises
    ------
    StoreError
        It is missing, damaged, or of other settings.
    """
    store = read_store(asked.path, "alignment", where=asked.where, wanted=wanted)
    if not asked.identity.is_of(store.attrs):
        raise StoreError(
            "the store was computed with other settings than the study's",
            where=f"{asked.where} ({asked.path})",
            fix="delete it and rerun its rule",
        )
    return store


@dataclass(frozen=True)
class Workers:
    """Those who work.

    Attributes
    ----------
    compute : callable
        From delayed tasks to their results, in order.
    count : int
        Tasks that are done at a time.
    elsewhere : bool
        Whether they work in other processes, which may have other packages.
    """

    compute: Callable[[Sequence[Any]], Sequence[Any]]
    count: int
    elsewhere: bool = False

    def _delayed(self, function: Callable[..., Any]) -> Any:
        import dask

        return dask.delayed(checked(function) if self.elsewhere else function, pure=False)

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the items' order; few more than the workers' number are under way."""
        call, left = self._delayed(function), iter(items)
        while some := list(islice(left, self.count * _AHEAD)):
            yield from self.compute([call(item) for item in some])

    def reduce(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        merge: Callable[[Sequence[Result]], Result],
    ) -> Result:
        """Merge the items' results in a tree, which dask walks depth first.

        A worker holds one result and the partial ones above it; the same neighbours are merged in
        the same order whoever computes, so that sums are the same bytes.

        Raises
        ------
        ValueError
            There are no items.
        """
        if not items:
            raise ValueError("nothing to merge")
        call, join = self._delayed(function), self._delayed(merge)
        nodes = [call(item) for item in items]
        while len(nodes) > 1:
            nodes = [join(nodes[first : first + FAN_IN]) for first in range(0, len(nodes), FAN_IN)]
        (result,) = self.compute(nodes)
        merged: Result = result
        return merged


@contextmanager
def workers(config: AggregationConfig, logs: str | None = None) -> Iterator[Workers]:
    """Open the workers that a study asks for.

    Parameters
    ----------
    config : AggregationConfig
    logs : str, optional
        Folder of what workers on a cluster print.

    Raises
    ------
    ConfigError
        A package is missing, no scheduler answers, or no worker starts or lives.
    """
    if config.scheduler == "threads" and config.workers == 1:
        yield Workers(partial(_here, scheduler="synchronous"), 1)
    elif config.scheduler == "threads":
        with ThreadPoolExecutor(config.workers) as pool:
            yield Workers(partial(_here, scheduler="threads", pool=pool), config.workers)
    elif config.scheduler == "slurm":
        with on_slurm(config, logs) as (remote, threads):
            yield Workers(remote.compute, threads, elsewhere=True)
    else:
        with at_address(config) as (remote, threads):
            yield Workers(remote.compute, threads, elsewhere=True)


def worker_mistakes(config: AggregationConfig) -> list[ConfigError]:
    """What can be seen of the workers' settings before a job is submitted."""
    if config.scheduler == "threads":
        return []
    slurm = config.scheduler == "slurm"
    needed = {"distributed": "distributed"} | ({"dask_jobqueue": "dask-jobqueue"} if slurm else {})
    lacking = [package for module, package in needed.items() if find_spec(module) is None]
    if lacking:
        return [absent(package, config.scheduler) for package in lacking]
    return keyword_mistakes(config) if slurm else []


def _here(tasks: Sequence[Any], **options: Any) -> Sequence[Any]:
    import dask

    results: Sequence[Any] = dask.compute(*tasks, **options)
    return results
