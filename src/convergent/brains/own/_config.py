"""The file that describes a data set of one's own, checked key by key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from convergent.brains.atlas import Hemispheres
from convergent.errors import ConfigError, did_you_mean


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StimuliConfig(_Section):
    """Where the stimuli are; ``id``, ``file`` and so on name columns of the table."""

    table: str
    id: str = "id"
    images: str | None = None
    file: str = "file"
    size: int | None = Field(default=None, ge=8)
    text: str = "text"
    onset: str = "onset"
    offset: str = "offset"
    group: str | None = None
    split: str | None = None


class ResponsesConfig(_Section):
    """Where the responses are; patterns hold ``{subject}``, ``{run}`` and ``{hemi}``."""

    files: str
    key: str | None = None
    mask: str | None = None
    samples: Literal[0, 1] = 0
    ids: str | None = None
    id: str = "stimulus_id"
    session: str | None = None
    standardise: Literal["none", "session"] = "none"
    drop: tuple[Literal["missing", "constant"], ...] = ()
    tr: float | None = Field(default=None, gt=0)
    start: float | None = None


class RegionsConfig(_Section):
    """Which region each target lies in, and what is known of the regions."""

    labels: str | None = None
    image: str | None = None
    names: str | None = None
    atlas: str | None = None
    space: str | None = None
    whole: str | None = None
    table: str | None = None
    describe: str | None = None
    hemispheres: Hemispheres = "apart"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [k for k in ("labels", "image", "atlas", "whole") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'none'} given: name exactly one of labels, image, atlas, "
                "whole"
            )
        if (self.atlas is None) != (self.space is None):
            raise ValueError("atlas and space go together")
        if self.names is not None and self.image is None:
            raise ValueError("names are those of an image's numbers: give image")
        return self


class CeilingsConfig(_Section):
    """Noise ceilings: given in a file, or computed."""

    source: Literal["none", "file", "repeats", "split-half", "subjects"] = Field(
        default="none", alias="from"
    )
    file: str | None = None
    key: str | None = None
    units: Literal["r2", "r", "percent", "ncsnr"] = "r2"

    @model_validator(mode="after")
    def _file_is_named(self) -> Self:
        if (self.source == "file") != (self.file is not None):
            raise ValueError("'from: file' and 'file' go together")
        return self


class AtlasesConfig(_Section):
    """Where label files that no package ships lie."""

    directory: str | None = None


class OwnConfig(_Section):
    """A whole data set."""

    modality: Literal["vision", "language"]
    design: Literal["items", "story"]
    version: int | str = 1
    stimuli: StimuliConfig
    responses: ResponsesConfig
    regions: RegionsConfig
    subjects: tuple[str, ...] = ()
    ceilings: CeilingsConfig = CeilingsConfig()
    atlases: AtlasesConfig = AtlasesConfig()
    citation: str = ""
    license: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        responses = self.responses
        if self.design == "story":
            if self.modality != "language":
                raise ValueError("a story is of modality language")
            if responses.tr is None or responses.start is None:
                raise ValueError("a story needs responses.tr and responses.start")
            if responses.ids is not None or "{run}" in responses.files:
                raise ValueError("a story is one run without responses.ids")
            if self.stimuli.split is not None:
                raise ValueError("a story has no fixed split")
            if self.ceilings.source in ("repeats", "split-half"):
                raise ValueError("a story has no repeats: give 'from: subjects'")
        elif responses.ids is None:
            raise ValueError("items need responses.ids: the stimulus that each sample answers")
        if self.modality == "vision" and self.stimuli.images is None:
            raise ValueError("vision needs stimuli.images, a folder")
        sessions = responses.session is not None or "{run}" in responses.files
        if responses.standardise == "session" and not sessions:
            raise ValueError("standardise: session needs responses.session, a column")
        return self


def read_own(path: str | Path) -> tuple[OwnConfig, Path]:
    """Read and check the file.

    Parameters
    ----------
    path : str or Path
        YAML; ``~`` and environment variables are expanded.

    Returns
    -------
    config : OwnConfig
    folder : Path
        Of the file: what relative paths inside it are relative to.

    Raises
    ------
    ConfigError
        The file is missing, not YAML, or has unknown keys or wrong values; one line names all.
    """
    file = Path(os.path.expandvars(path)).expanduser()
    where = str(file)
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the description of the data set cannot be read: {error.strerror}",
            where=where,
            fix="give the path of a file such as config/own-data.yaml",
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", where=where) from None
    if not isinstance(raw, dict):
        raise ConfigError("no mapping", where=where, fix="start from config/own-data.yaml")
    try:
        return OwnConfig.model_validate(raw), file.parent
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(error)), where=where) from None


def _explain(error: ValidationError) -> list[str]:
    sentences = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            hint = did_you_mean(str(item["loc"][-1]), _known(item["loc"][:-1]))
            sentences.append(f"unknown key '{key}' ({hint})")
        elif item["type"] == "missing":
            sentences.append(f"key '{key}' is missing")
        else:
            given = "" if isinstance(item["input"], dict) else f" (given: {item['input']!r})"
            reason = item["msg"].removeprefix("Value error, ")
            sentences.append((f"'{key}': " if key else "") + reason + given)
    return sentences


def _known(location: tuple[int | str, ...]) -> list[str]:
    section: Any = OwnConfig
    for part in location:
        section = section.model_fields[str(part)].annotation
    return [field.alias or name for name, field in section.model_fields.items()]
