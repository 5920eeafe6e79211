"""The study as data: configuration, tables, and which files exist."""

from convergent.study._config import (
    DatasetConfig,
    FitConfig,
    StudyConfig,
    command_options,
    parse_overrides,
    read_config,
)
from convergent.study._identity import STAGE_VERSIONS
from convergent.study._study import Study
from convergent.study._types import (
    Checkpoint,
    Layer,
    Layout,
    Modality,
    Model,
    Performance,
    Pooling,
    Role,
    Unit,
)
from convergent.study.resources import call_own_convergent

__all__ = [
    "STAGE_VERSIONS",
    "Checkpoint",
    "DatasetConfig",
    "FitConfig",
    "Layer",
    "Layout",
    "Modality",
    "Model",
    "Performance",
    "Pooling",
    "Role",
    "Study",
    "StudyConfig",
    "Unit",
    "call_own_convergent",
    "command_options",
    "parse_overrides",
    "read_config",
]
