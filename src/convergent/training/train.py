"""The training loop: steps, checkpoints and a record of both."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from convergent.errors import ConfigError, NumericalError, TableError
from convergent.sections import explain
from convergent.study.types import Model
from convergent.training.recipe import Run, TrainingOptions, recipe

_WEIGHTS = "model.safetensors"


def train(
    name: str,
    model: Model,
    directory: str | Path,
    *,
    seed: int | None = None,
    options: Mapping[str, object] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train a model and save its checkpoints.

    The checkpoints and their steps are those of the model's rows in the checkpoints table; the
    last step is the length of the training. On the CPU one thread is used, and the same seed and
    options give the same bytes on the same machine and library versions.

    Parameters
    ----------
    name : str
        Recipe.
    model : Model
        Its layers' widths are the size of the network.
    directory : path
        Each checkpoint becomes a directory of its name in here, in the hub's layout. It appears
        under that name only when it is complete.
    seed : int, optional
        Replaces the recipe's option of that name.
    options : mapping, optional
        Options of the recipe.
    device : str

    Returns
    -------
    dict
        ``recipe``, ``model``, ``seed``, ``options``, ``parameters``, ``steps``, ``seconds`` (wall
        time of the steps), ``loss`` (one value a step), ``checkpoints`` (name, step and sha256 of
        the weights) and ``facts`` of the recipe.

    Raises
    ------
    UnknownKeyError
        There is no such recipe.
    ConfigError
        Unknown or invalid options.
    TableError
        A checkpoint without a step, or widths that the recipe cannot build.
    NumericalError
        The loss became NaN or infinite.
    """
    kind = recipe(name)
    settings = recipe_options(name, options or {}, seed)
    steps = _steps(model)
    import torch

    with _one_thread(), torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        run = kind.start(model, settings, device)
        run.module.to(device)
        losses, checkpoints, seconds = _loop(run, settings, steps, Path(directory), model.key)
    return {
        "recipe": name,
        "model": model.key,
        "seed": settings.seed,
        "options": settings.model_dump(),
        "parameters": sum(parameter.numel() for parameter in run.module.parameters()),
        "steps": max(steps.values()),
        "seconds": round(seconds, 3),
        "loss": losses,
        "checkpoints": checkpoints,
        "facts": run.facts,
        "device": device,
    }


def recipe_options(
    name: str, options: Mapping[str, object], seed: int | None = None
) -> TrainingOptions:
    """Check the options of a recipe.

    Raises
    ------
    UnknownKeyError
        There is no such recipe.
    ConfigError
        An option is unknown or has a wrong value.
    """
    kind = recipe(name).options
    try:
        return kind.model_validate({**options, **({} if seed is None else {"seed": seed})})
    except ValidationError as error:
        raise ConfigError(
            "; ".join(explain(error, kind)), where=f"training, recipe '{name}'", fix="correct it"
        ) from None


def _steps(model: Model) -> dict[str, int]:
    """Step of each checkpoint, in order of steps."""
    steps: dict[str, int] = {}
    for checkpoint in model.checkpoints:
        if checkpoint.step is None or checkpoint.step < 0:
            raise TableError(
                f"checkpoint '{checkpoint.name}' has no step",
                where=f"model '{model.key}'",
                fix="give each checkpoint of a model trained here its step, 0 or more",
            )
        steps[checkpoint.name] = checkpoint.step
    if len(set(steps.values())) != len(steps):
        raise TableError(
            "two checkpoints at one step have the same weights",
            where=f"model '{model.key}'",
            fix="keep one of them",
        )
    return dict(sorted(steps.items(), key=lambda item: item[1]))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: one thread, and only operations that always give the same result."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


def _loop(
    run: Run, settings: TrainingOptions, steps: dict[str, int], directory: Path, key: str
) -> tuple[list[float], list[dict[str, object]], float]:
    import torch

    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(
        run.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    total = max(steps.values())
    names = {step: name for name, step in steps.items()}
    losses: list[float] = []
    checkpoints: list[dict[str, object]] = []
    seconds = 0.0
    for step in range(total + 1):
        if step in names:
            checkpoints.append(_save(run, directory, names[step], step))
        if step == total:
            break
        started = time.monotonic()
        run.module.train()
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * schedule(step, total, settings.warmup)
        loss = run.loss(generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(run.module.parameters(), settings.clip)
        optimiser.step()
        losses.append(round(float(loss.detach()), 6))
        if not math.isfinite(losses[-1]):
            raise NumericalError(
                f"the loss is {losses[-1]} at step {step}",
                where=f"training of '{key}'",
                fix="lower the learning rate",
            )
        seconds += time.monotonic() - started
    return losses, checkpoints, seconds


def schedule(step: int, total: int, warmup: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then half a cosine to 0."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1.0 + math.cos(math.pi * step / total))


def _save(run: Run, directory: Path, name: str, step: int) -> dict[str, object]:
    final, temporary = directory / name, directory / f".{name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    run.module.eval()
    run.save(temporary)
    sha256 = hashlib.sha256((temporary / _WEIGHTS).read_bytes()).hexdigest()
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    return {"checkpoint": name, "step": step, "sha256": sha256}


def last_width(model: Model, multiple: int) -> int:
    """Width of the last layer, which must be a multiple of ``multiple``.

    Raises
    ------
    TableError
        It is not.
    """
    width = model.layers[-1].width
    if width % multiple:
        raise TableError(
            f"last layer has width {width}",
            where=f"model '{model.key}'",
            fix=f"give it a multiple of {multiple}",
        )
    return width
