"""Sections of YAML files: models that refuse what cannot be meant, and what they say of errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from convergent.errors import did_you_mean
from convergent.names import DEVICE_FIX, device_error, shown


class Section(BaseModel):
    """A section: unknown keys, infinity and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _known_device(value: str) -> str:
    if (reason := device_error(value)) is not None:
        raise ValueError(f"{reason}: {DEVICE_FIX}")
    return value


def _all_differ(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"'{twice}' is listed twice")
    return values


# pydantic takes true for 1; what is larger than these bounds was not meant
Count = Annotated[int, BeforeValidator(_no_switch), Field(le=1_000_000_000)]
Whole = Annotated[Count, Field(le=1_000_000)]
Real = Annotated[float, BeforeValidator(_no_switch), Field(le=1e12)]
Seed = Annotated[int, BeforeValidator(_no_switch), Field(ge=0, lt=2**32)]
Device = Annotated[str, AfterValidator(_known_device)]
Different = AfterValidator(_all_differ)


def explain(
    error: ValidationError, model: type[BaseModel], renamed: Mapping[str, str] | None = None
) -> list[str]:
    """One sentence for each error, naming the key and, for unknown ones, the closest known.

    Parameters
    ----------
    error : ValidationError
    model : type of BaseModel
        That was given the values: its keys are known.
    renamed : mapping of str to str, optional
        Keys of earlier versions, and what they are called now.
    """
    sentences = []
    items = error.errors()
    for item in items:
        inner = [other["loc"] for other in items if len(other["loc"]) > len(item["loc"])]
        if item["type"] == "too_short" and any(
            loc[: len(item["loc"])] == item["loc"] for loc in inner
        ):
            continue  # it is too short because of what is wrong in it
        key = ".".join(str(part) for part in item["loc"])
        if renamed and key in renamed:
            sentences.append(f"key '{key}' is now '{renamed[key]}'")
        elif item["type"] == "extra_forbidden":
            hint = did_you_mean(str(item["loc"][-1]), _known_keys(model, item["loc"][:-1]))
            sentences.append(f"unknown key '{shown(key)}' ({hint})")
        elif item["type"] == "missing":
            sentences.append(f"key '{key}' is missing")
        else:
            reason = item["msg"].removeprefix("Value error, ")
            given = item["input"]  # a whole section says nothing
            said = "" if isinstance(given, Mapping | BaseModel) else f" (given: {_value(given)})"
            if item["type"] == "string_type" and isinstance(given, bool | int | float):
                said += "; write it in quotes: YAML does not read it as text"
            sentences.append((f"'{shown(key)}': " if key else "") + reason + said)
    return sentences


def _value(given: object) -> str:
    return shown(given if isinstance(given, str) and given.isprintable() else repr(given))


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    section: Any = model
    for part in location:
        if isinstance(section, type) and issubclass(section, BaseModel):
            field = section.model_fields.get(str(part))
            section = None if field is None else field.annotation
            if get_origin(section) in (Union, UnionType):  # a section that may be left out
                section = get_args(section)[0]
        else:  # a mapping of sections: its values' type
            section = (get_args(section) or (None,))[-1]
    if isinstance(section, type) and issubclass(section, BaseModel):
        return [field.alias or name for name, field in section.model_fields.items()]
    return []
