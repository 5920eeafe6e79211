"""Inspect or check many networks in several processes, each distinct one once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from convergent.errors import ConvergentError, ModelError
from convergent.study.types import Model

_T = TypeVar("_T")
_R = TypeVar("_R")


def network_key(model: Model) -> tuple[str, ...]:
    """What decides the network of a row and the shapes in it; rows that agree share one."""
    architecture, options = model.architecture, ["img_size", "num_classes"]
    if model.source == "timm":
        import timm

        config = timm.get_pretrained_cfg(architecture)
        architecture = architecture.partition(".")[0]
        if config is None or config.fixed_input_size:
            options.append("size")
    values = (f"{option}={model.preprocessing.get(option, '')}" for option in options)
    return (model.source, model.modality, architecture, *values)


def by_network(models: Iterable[Model]) -> list[list[Model]]:
    """Group models that have the same network."""
    groups: dict[tuple[str, ...], list[Model]] = {}
    for model in models:
        groups.setdefault(network_key(model), []).append(model)
    return list(groups.values())


def run_all(
    work: Callable[[_T], _R],
    items: Sequence[_T],
    jobs: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[_R | ConvergentError]:
    """Call a function on each item; an error of the project becomes that item's result.

    Parameters
    ----------
    work : callable
        At the top of a module, so that other processes find it.
    items : sequence
    jobs : int
        Processes; 1 works in this one.
    progress : callable, optional
        Called with the number done and the number of items.

    Returns
    -------
    list
        In the order of the items.
    """
    results: list[_R | ConvergentError] = []

    def note(result: _R | ConvergentError) -> None:
        results.append(result)
        if progress is not None:
            progress(len(results), len(items))

    if jobs == 1:
        for item in items:
            note(_guarded(work, item))
        return results
    # Forking would copy the threads' locks of libraries that are already loaded.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_single) as pool:
        for result in pool.map(_guarded, [work] * len(items), items, chunksize=4):
            note(result)
    return results


def _guarded(work: Callable[[_T], _R], item: _T) -> _R | ConvergentError:
    try:
        return work(item)
    except ConvergentError as error:
        return error
    # Forward passes of libraries' networks fail in as many ways as there are networks.
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        return ModelError(f"the network cannot be run ({type(error).__name__}: {first})")


def _single() -> None:
    import torch

    torch.set_num_threads(1)
