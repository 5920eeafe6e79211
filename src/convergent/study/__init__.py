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
    "command_options",
    "parse_overrides",
    "read_config",
]
