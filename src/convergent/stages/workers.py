"""Work on many stores at once, on dask: threads of this process, or workers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from convergent.errors import ConfigError, StoreError
from convergent.store import Store, read_store
from convergent.study import AggregationConfig, Study
from convergent.zarr_format import Wanted

# Results that are merged at once; the order of sums does not depend on who computes them.
FAN_IN = 8
# Tasks that are out at a time, for each worker.
_AHEAD = 2
_ANSWER_SECONDS = 30
_INSTALL = "pip install 'convergent[dask-slurm]'"

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Asked:
    """An alignment store, and the settings that it must have been made with."""

    path: str
    identity: str
    where: str

    @classmethod
    def of(
        cls, study: Study, dataset: str, model: str, checkpoint: str, layer: str, subject: str
    ) -> Asked:
        """Ask for one layer and subject."""
        path = study.paths.alignment(dataset, model, checkpoint, layer, subject)
        keys = {"dataset": dataset, "model": model, "checkpoint": checkpoint, "layer": layer}
        return cls(
            str(Path(path).absolute()),  # workers on other machines start in other directories
            study.identity("fit", **keys),
            f"model '{model}', checkpoint '{checkpoint}', layer '{layer}', subject '{subject}'",
        )


def read_asked(asked: Asked, wanted: Wanted) -> Store:
    """Read what is wanted of a store.

    Raises
    ------
    StoreError
        It is missing, damaged, or of other settings.
    """
    store = read_store(asked.path, "alignment", where=asked.where, wanted=wanted)
    if store.attrs["identity"] != asked.identity:
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
    options : dict
        What `dask.compute` needs to know.
    count : int
    """

    options: dict[str, Any]
    count: int

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the items' order; few more than the workers' number are under way."""
        import dask

        call, left = dask.delayed(function, pure=False), iter(items)
        while some := list(islice(left, self.count * _AHEAD)):
            yield from dask.compute(*map(call, some), **self.options)

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
        import dask

        if not items:
            raise ValueError("nothing to merge")
        call, join = dask.delayed(function, pure=False), dask.delayed(merge, pure=False)
        nodes = [call(item) for item in items]
        while len(nodes) > 1:
            nodes = [join(nodes[first : first + FAN_IN]) for first in range(0, len(nodes), FAN_IN)]
        (result,) = dask.compute(*nodes, **self.options)
        merged: Result = result
        return merged


@contextmanager
def workers(config: AggregationConfig) -> Iterator[Workers]:
    """Open the workers that a study asks for.

    Parameters
    ----------
    config : AggregationConfig

    Raises
    ------
    ConfigError
        A package is missing, or no scheduler answers.
    """
    if config.scheduler == "threads" and config.workers == 1:
        yield Workers({"scheduler": "synchronous"}, 1)
    elif config.scheduler == "threads":
        with ThreadPoolExecutor(config.workers) as pool:
            yield Workers({"scheduler": "threads", "pool": pool}, config.workers)
    elif config.scheduler == "slurm":
        with closing(_cluster(config)) as cluster, closing(_client(cluster, "slurm")) as client:
            yield Workers({"scheduler": client}, config.workers)
    else:
        with closing(_client(config.scheduler, config.scheduler)) as client:
            yield Workers({"scheduler": client}, config.workers)


def _client(place: Any, name: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise _absent("distributed", name) from None
    try:
        return Client(place, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConfigError(
            f"no dask scheduler answers at '{name}' ({error})",
            where="aggregation.scheduler",
            fix="start it (`dask scheduler`), or set threads",
        ) from None


def _cluster(config: AggregationConfig) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise _absent("dask-jobqueue", "slurm") from None
    cluster = SLURMCluster(**{"cores": 1, "processes": 1, "memory": "4GB", **config.slurm})
    cluster.scale(jobs=config.workers)
    return cluster


def _absent(package: str, scheduler: str) -> ConfigError:
    return ConfigError(
        f"scheduler '{scheduler}' needs the package {package}, which is not installed",
        where="aggregation.scheduler",
        fix=_INSTALL,
    )
