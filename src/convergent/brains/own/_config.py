"""The file that describes a data set of one's own, checked key by key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from convergent.brains.atlas import Hemispheres
from convergent.errors import ConfigError
from convergent.names import Key, Location, same_but_case
from convergent.sections import Real, Section, Whole, explain
from convergent.text_files import read_yaml

Text = Annotated[str, Field(min_length=1, max_length=1000)]


class StimuliConfig(Section):
    """Where the stimuli are; ``id``, ``file`` and so on name columns of the table."""

    table: Location
    id: Text = "id"
    images: Location | None = None
    file: Text = "file"
    size: Whole | None = Field(default=None, ge=8, le=10_000)
    text: Text = "text"
    onset: Text = "onset"
    offset: Text = "offset"
    group: Text | None = None
    split: Text | None = None


class ResponsesConfig(Section):
    """Where the responses are; patterns hold ``{subject}``, ``{run}`` and ``{hemi}``."""

    files: Location
    key: Text | None = None
    mask: Location | None = None
    samples: Literal[0, 1] = 0
    ids: Location | None = None
    id: Text = "stimulus_id"
    session: Text | None = None
    standardise: Literal["none", "session"] = "none"
    drop: tuple[Literal["missing", "constant"], ...] = ()
    tr: Real | None = Field(default=None, gt=0, le=1000)
    start: Real | None = Field(default=None, ge=-1e6, le=1e6)


class RegionsConfig(Section):
    """Which region each target lies in, and what is known of the regions."""

    labels: Location | None = None
    image: Location | None = None
    names: Location | None = None
    atlas: Text | None = None
    space: Text | None = None
    whole: Text | None = None
    table: Location | None = None
    describe: Text | None = None
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


class CeilingsConfig(Section):
    """Noise ceilings: given in a file, or computed."""

    source: Literal["none", "file", "repeats", "split-half", "subjects"] = Field(
        default="none", alias="from"
    )
    file: Location | None = None
    key: Text | None = None
    units: Literal["r2", "r", "percent", "ncsnr"] = "r2"

    @model_validator(mode="after")
    def _file_is_named(self) -> Self:
        if (self.source == "file") != (self.file is not None):
            raise ValueError("'from: file' and 'file' go together")
        return self


class AtlasesConfig(Section):
    """Where label files that no package ships lie."""

    directory: Location | None = None


class OwnConfig(Section):
    """A whole data set."""

    modality: Literal["vision", "language"]
    design: Literal["items", "story"]
    version: int | str = 1
    stimuli: StimuliConfig
    responses: ResponsesConfig
    regions: RegionsConfig
    subjects: tuple[Key, ...] = ()
    ceilings: CeilingsConfig = CeilingsConfig()
    atlases: AtlasesConfig = AtlasesConfig()
    citation: str = ""
    license: str = ""

    @field_validator("subjects")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a subject is listed twice")
        for one, other in same_but_case(value):
            raise ValueError(f"'{one}' and '{other}' differ in case only")
        return value

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
        The file cannot be read (`convergent.text_files.read_yaml`), or has unknown keys or wrong
        values; one line names all.
    """
    try:
        file = Path(os.path.expandvars(path)).expanduser()
    except RuntimeError as error:  # the home of an unknown user
        raise ConfigError(str(error), where=str(path), fix="give a path") from None
    where = str(file)
    raw = read_yaml(file, fix="start from config/own-data.yaml")
    try:
        return OwnConfig.model_validate(raw), file.parent
    except ValidationError as error:
        raise ConfigError("; ".join(explain(error, OwnConfig)), where=where) from None
