"""What a job asks of the cluster, from a model's size and the attempt."""

from __future__ import annotations

import math

from convergent.study._types import Model

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_GPU_MB = 80_000  # one large GPU; weights fill at most three quarters of it
_FILL = 0.75


def weights_mb(model: Model) -> int:
    """Size of a model's weights in the precision of its row, in MB."""
    return math.ceil(model.parameters * _BYTES[model.precision] / 1e6)


def gpus(model: Model) -> int:
    """GPUs that hold the weights; baselines run in their layer's job like any model."""
    return max(1, math.ceil(weights_mb(model) / (_FILL * _GPU_MB)))


def extract_mb(model: Model, attempt: int) -> int:
    """Host memory of an extraction, in MB: weights twice (file and tensors) and room to work."""
    return (4000 + 2 * weights_mb(model)) * attempt


def extract_minutes(model: Model, attempt: int) -> int:
    """Time limit of an extraction, in minutes: grows with the weights to load and run."""
    return math.ceil(20 + weights_mb(model) / 250) * attempt
