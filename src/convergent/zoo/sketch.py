"""A row's network without its weights, for inspection and checks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, TypeVar, cast

from convergent.errors import ConvergentError, ModelError, UnknownKeyError, did_you_mean
from convergent.models.inspect import Sketch
from convergent.models.weights import local_path, package_directory, parse_reference
from convergent.study.types import Model

# Each module has a function `sketch(model, directory)`; it imports its library when called.
_MAKERS = {
    "timm": "convergent.zoo.sketch_timm",
    "open_clip": "convergent.zoo.sketch_open_clip",
    "transformers": "convergent.zoo.sketch_transformers",
}


class _Maker(Protocol):
    def __call__(self, model: Model, directory: Path | None) -> Sketch: ...


def sketch(model: Model, directory: Path | None = None) -> Sketch:
    """Build a model's network on the meta device, as its source would load it.

    Parameters
    ----------
    model : Model
        Source, architecture, modality and preprocessing options are used.
    directory : Path, optional
        In the hub's layout, with the configuration that the reference stands for; without
        one, the architecture column says what to build.

    Raises
    ------
    UnknownKeyError
        The source has no networks.
    ModelError
        The network cannot be built or run.
    """
    if model.source not in _MAKERS:
        raise UnknownKeyError(
            f"source '{model.source}' has no networks", fix=did_you_mean(model.source, _MAKERS)
        )
    maker = importlib.import_module(_MAKERS[model.source]).sketch
    return cast(_Maker, maker)(model, directory)


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
    return (model.source, model.modality, architecture, str(folder_of(model) or ""), *values)


# Files that say what network a folder holds, by source.
CONFIGS = {
    "timm": ("config.json",),
    "open_clip": ("open_clip_config.json",),
    "transformers": ("config.json",),
}


def folder_of(model: Model) -> Path | None:
    """Folder of a row's ``path:`` or ``package:`` reference, if it says what network it holds.

    Raises
    ------
    WeightsError
        It is not there.
    """
    reference = parse_reference(model.reference, f"model '{model.key}'")
    if reference.kind not in ("path", "package"):
        return None
    finder = local_path if reference.kind == "path" else package_directory
    folder = finder(reference.value, f"{model.source_location}, model '{model.key}'")
    if folder.is_file():
        folder = folder.parent
    names = (*CONFIGS.get(model.source, ()), model.preprocessing.get("gguf", ""))
    return folder if any(name and (folder / name).is_file() for name in names) else None


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
