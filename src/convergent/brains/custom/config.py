"""The file that describes a data set of one's own, checked key by key."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from convergent.brains.atlas import Hemispheres
from convergent.errors import ConfigError, DataError
from convergent.names import Key, Location, same_but_case
from convergent.sections import Real, Section, Whole, explain
from convergent.text_files import read_yaml

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Label = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)]
Level = Annotated[Whole, Field(ge=0, le=255)]


class StimuliConfig(Section):
    """Where the stimuli are; ``id``, ``file`` and so on name columns of the table."""

    table: Location
    id: Text = "id"
    images: Location | None = None
    file: Text = "file"
    size: Whole | None = Field(default=None, ge=8, le=10_000)
    background: tuple[Level, Level, Level] | None = None
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
    inside: Literal["positive"] | tuple[Label, ...] | None = None
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
    background: tuple[Label, ...] | None = None
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
        if self.image is None and self.labels is None:
            for key in ("names", "background"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key} is about numbers of regions: give image or labels")
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
    def _inside_of_a_mask(self) -> Self:
        said = self.responses
        if said.inside is not None and said.mask is None:
            raise ValueError("responses.inside says which voxels of a mask: give responses.mask")
        if said.inside == ():
            raise ValueError("responses.inside is empty: give values of the mask, or positive")
        return self

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


_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_KNOWN = ("subject", "run", "hemi")


def fill(folder: Path, pattern: str, **values: str) -> Path:
    """Path with its placeholders filled; relative to the folder.

    Raises
    ------
    DataError
        A placeholder that is not known here.
    """
    for name in _PLACEHOLDER.findall(pattern):
        if name not in values:
            raise DataError(
                f"placeholder '{{{name}}}' in '{pattern}'",
                where=str(folder),
                fix="known here: " + ", ".join(f"{{{known}}}" for known in values),
            )
    return folder / Path(_PLACEHOLDER.sub(lambda found: values[found[1]], pattern)).expanduser()


def found(folder: Path, pattern: str, wanted: str, **values: str) -> list[str]:
    """Values of one placeholder for which files exist, in natural order (2 before 10).

    Other placeholders without a value match anything.
    """
    names = _PLACEHOLDER.findall(pattern)
    if wanted not in names:
        return []
    whole = str(folder / Path(pattern).expanduser())
    unknown = [name for name in names if name not in _KNOWN]
    if unknown:
        raise DataError(
            f"unknown placeholder '{{{unknown[0]}}}'", where=pattern, fix=f"known: {_KNOWN}"
        )
    search, expression, seen = whole, re.escape(whole), set()
    for name in names:
        value = values.get(name)
        search = search.replace(f"{{{name}}}", "*" if value is None else value)
        quoted = re.escape(f"{{{name}}}")
        group = f"(?P<{name}>[^/_]+)" if value is None else re.escape(value)
        if name in seen:
            continue
        seen.add(name)
        expression = expression.replace(quoted, group, 1)
        again = f"(?P={name})" if value is None else group
        expression = expression.replace(quoted, again)
    anchor = Path(search.split("*", 1)[0]).parent if "*" in search else Path(search).parent
    if not anchor.is_dir():
        return []
    matches = (
        re.fullmatch(expression, str(path))
        for path in anchor.glob(str(Path(search).relative_to(anchor)))
    )
    return sorted({match[wanted] for match in matches if match}, key=_natural)


def _natural(text: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text)]


_SIDE_WORDS = {"l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R"}
# A word alone may mean anything (task-left, spearman_r): what surfaces are called, and no more.
_SIDE = re.compile(
    r"(?:^|[._-])hemi-(L|R|lh|rh|left|right)(?=[._-])|(?:^|[._-])(lh|rh)(?=[._-])"
    r"|[._](L|R)(?=[._])|(?:^|[._])(left|right)(?=[._].*(?:gii|mg[hz])\b)"
)


def side_of_name(pattern: str, hemi: str) -> str:
    """Hemisphere that a file's name says: ``hemi-L``, ``lh.``, ``.L.``, ``left.gii``; or empty.

    Parameters
    ----------
    pattern : str
        With its placeholders, as subjects and runs may be called anything.
    hemi : str
        What stands for ``{hemi}``; empty where the pattern has none.
    """
    if "{hemi}" in pattern:
        return _SIDE_WORDS[hemi.lower()]
    words = {word for found in _SIDE.findall(Path(pattern).name) for word in found if word}
    said = {_SIDE_WORDS[word.lower()] for word in words}
    return said.pop() if len(said) == 1 else ""


def hemispheres(folder: Path, pattern: str, subject: str) -> tuple[str, str]:
    """How a pattern's files spell left and right.

    Raises
    ------
    DataError
        One of the two is missing.
    """
    values = found(folder, pattern, "hemi", subject=subject)
    for pair in (("L", "R"), ("lh", "rh"), ("left", "right")):
        if all(side in values for side in pair):
            return pair
    raise DataError(
        f"files of both hemispheres are not there: found {', '.join(values) or 'none'}",
        where=str(folder / pattern),
        fix="name them L and R, lh and rh, or left and right",
    )
