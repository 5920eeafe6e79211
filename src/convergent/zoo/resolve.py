"""From what a person types to a network: architecture names, folders, packages, cached hub ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from convergent.errors import ModelError, UnknownKeyError, WeightsError, did_you_mean
from convergent.models.inspect import inspect
from convergent.models.weights import local_path, package_directory, parse_reference
from convergent.study.types import Modality, Model
from convergent.zoo.propose import Proposal, propose
from convergent.zoo.sketch import CONFIGS, sketch


def stub(
    source: str,
    architecture: str,
    *,
    key: str = "",
    modality: Modality = "vision",
    reference: str = "",
    preprocessing: Mapping[str, str] | None = None,
) -> Model:
    """Make a model of which only the network is known."""
    return Model(
        key=key or architecture,
        family="",
        modality=modality,
        source=source,
        reference=reference,
        revision="",
        architecture=architecture,
        parameters=0,
        layers=(),
        layout="tokens",
        pooling="mean",
        precision="float32",
        preprocessing=dict(preprocessing or {}),
        attention="",
        tags=(),
        checkpoints=(),
    )


def propose_for(model: Model) -> Proposal:
    """Inspect a model's network and propose the layers of its row."""
    network = sketch(model)
    return propose(inspect(network), network.parameters)


def resolve(
    reference: str, *, source: str = "", architecture: str = "", modality: Modality | None = None
) -> tuple[Model, Path | None]:
    """Find what a reference is a network of; nothing is downloaded.

    Parameters
    ----------
    reference : str
        Architecture of timm or open_clip, hub id, ``path:<folder>`` (or the folder itself), or
        ``package:<module>/<subdirectory>``.
    source : str
        Source of models; found from the name or the folder's files if empty.
    architecture : str
        Where the reference does not say it.
    modality : {"vision", "language"}, optional
        Tower of a model that has two; else of open_clip the image tower, of transformers
        what reads text.

    Returns
    -------
    model : Model
    directory : Path or None
        With the configuration; None if the architecture says it all.

    Raises
    ------
    UnknownKeyError
        Neither a folder nor a name that a library knows.
    WeightsError
        A hub id that is not in the local cache.
    """
    if not reference.startswith("path:") and Path(reference).is_dir():
        reference = f"path:{reference}"
    kind = parse_reference(reference).kind
    if kind in ("path", "package"):
        value = reference.partition(":")[2]
        finder = local_path if kind == "path" else package_directory
        directory = finder(value, f"reference '{reference}'")
        return _from_folder(reference, directory, source, architecture, modality)
    if kind != "hub":
        raise UnknownKeyError(
            f"'{reference}' cannot be inspected", fix="give an architecture, a hub id or a folder"
        )
    name = architecture or reference.removeprefix("timm/")
    found = source or _library(name)
    if found in ("timm", "open_clip") and _knows(found, name):
        chosen = _modality(found, modality)
        return stub(found, name, modality=chosen, reference=reference), None
    if "/" in reference:
        return _from_folder(reference, _cached(reference), source, architecture, modality)
    raise UnknownKeyError(f"no library has an architecture '{name}'", fix=_closest(name, source))


def _from_folder(
    reference: str, directory: Path, source: str, architecture: str, modality: Modality | None
) -> tuple[Model, Path | None]:
    found = source or _source_of_files(directory)
    if found not in CONFIGS:
        raise UnknownKeyError(f"no source '{found}'", fix=did_you_mean(found, CONFIGS))
    gguf = _only_gguf(directory) if found == "transformers" else ""
    named = stub(
        found,
        architecture,
        key=directory.name,
        modality=_modality(found, modality),
        reference=reference,
        preprocessing={"gguf": gguf} if gguf else {},
    )
    has_config = bool(gguf) or any((directory / file).is_file() for file in CONFIGS[found])
    if not has_config and not architecture:
        raise ModelError(
            f"no {' or '.join(CONFIGS[found])} in '{directory}'",
            fix="name the architecture with --architecture",
        )
    return named, directory if has_config else None


def _only_gguf(directory: Path) -> str:
    """Name of the quantised file of a folder that has nothing else to say what it is of."""
    if (directory / "config.json").is_file():
        return ""
    names = sorted(path.name for path in directory.glob("*.gguf"))
    if len(names) > 1:
        raise ModelError(
            f"{len(names)} quantised files: {', '.join(names)}",
            where=str(directory),
            fix="keep one of them in the folder",
        )
    return names[0] if names else ""


def _modality(source: str, asked: Modality | None) -> Modality:
    if source == "timm":
        return "vision"
    return asked or ("language" if source == "transformers" else "vision")


def _source_of_files(directory: Path) -> str:
    if (directory / "open_clip_config.json").is_file():
        return "open_clip"
    config = directory / "config.json"
    if config.is_file():
        try:
            content = json.loads(config.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"not JSON ({error})", where=str(config)) from None
        if "model_type" in content:
            return "transformers"
        if "architecture" in content:
            return "timm"
    if any(directory.glob("*.gguf")):
        return "transformers"
    raise ModelError(
        f"'{directory}' does not say what it is of",
        fix="name the source with --source, and the architecture with --architecture",
    )


def _cached(reference: str) -> Path:
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(reference, local_files_only=True))
    # The hub library raises cache and validation errors of many kinds.
    except Exception as error:
        raise WeightsError(
            f"'{reference}' is not in the local cache, and no architecture has this name",
            fix="download its configuration where the hub can be reached, or name a folder",
        ) from error


def _library(name: str) -> str:
    return next((source for source in ("timm", "open_clip") if _knows(source, name)), "")


def _knows(source: str, name: str) -> bool:
    if source == "timm":
        import timm

        return bool(timm.is_model(name))
    import open_clip

    return name in open_clip.list_models()


def _closest(name: str, source: str) -> str:
    import open_clip
    import timm

    known = {"timm": timm.list_models(), "open_clip": open_clip.list_models()}
    chosen = known.get(source) or [*known["timm"], *known["open_clip"]]
    return did_you_mean(name, chosen)
