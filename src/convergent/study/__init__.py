"""The study as data: configuration, tables, and which files exist."""

from convergent.study.checkpoints import same_weights
from convergent.study.config import (
    AggregationConfig,
    DatasetConfig,
    FitConfig,
    StudyConfig,
    json_schema,
    parse_overrides,
    read_config,
    read_files,
)
from convergent.study.environment import (
    check_code,
    fits_anew,
    scratch_folder,
    share_with_jobs,
    shared_study,
)
from convergent.study.graph import converging_files, converging_layers, final_models, final_scores
from convergent.study.identity import STAGE_VERSIONS
from convergent.study.study import Study
from convergent.study.types import (
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
    "converging_files",
    "converging_layers",
    "final_models",
    "final_scores",
    "fits_anew",
    "json_schema",
    "parse_overrides",
    "read_config",
    "read_files",
    "same_weights",
    "scratch_folder",
    "share_with_jobs",
    "shared_study",
]
