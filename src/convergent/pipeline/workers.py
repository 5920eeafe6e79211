"""Work on many stores at once, on dask: threads of this process, or workers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from convergent.errors import ConfigError
from convergent.pipeline.remote_workers import at_address, lacking, on_slurm, slurm_mistakes
from convergent.study import AggregationConfig

# Results that are merged at once; the order of sums does not depend on who computes them.
FAN_IN = 8
# Tasks that are out at a time, for each worker.
_AHEAD = 2

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """Those who work.

    Attributes
    ----------
    compute : callable
        From delayed tasks to their results, in order.
    count : int
        Tasks that are done at a time.
    """

    compute: Callable[[Sequence[Any]], Sequence[Any]]
    count: int

    def _delayed(self, function: Callable[..., Any]) -> Any:
        import dask

        return dask.delayed(function, pure=False)

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
            yield Workers(remote.compute, threads)
    else:
        with at_address(config) as (remote, threads):
            yield Workers(remote.compute, threads)


def worker_mistakes(config: AggregationConfig) -> list[ConfigError]:
    """What can be seen of the workers' settings before a job is submitted."""
    if config.scheduler == "threads":
        return []
    if config.scheduler == "slurm":
        return slurm_mistakes(config)
    return lacking(config.scheduler, "distributed")


def _here(tasks: Sequence[Any], **options: Any) -> Sequence[Any]:
    import dask

    results: Sequence[Any] = dask.compute(*tasks, **options)
    return results
