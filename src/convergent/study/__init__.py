"""The study as data: configuration, tables, and which files exist."""

from convergent.study._config import (
    DatasetConfig,
    FitConfig,
    StudyConfig,
    parse_overrides,
    read_config,
)
from convergent.study._converging import converging_files, converging_layers
from convergent.study._finals import final_models, final_scores
from convergent.study._identity import STAGE_VERSIONS
from convergent.study._jobs import (
    check_code,
    container_image,
    fits_anew,
    share_with_jobs,
    shared_overrides,
)
from convergent.study._same import same_weights
from convergent.study._scratch import scratch_folder
from convergent.study._sections import AggregationConfig
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
    "AggregationConfig",
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
    "check_code",
    "container_image",
    "converging_files",
    "converging_layers",
    "final_models",
    "final_scores",
    "fits_anew",
    "parse_overrides",
    "read_config",
    "same_weights",
    "scratch_folder",
    "share_with_jobs",
    "shared_overrides",
]
