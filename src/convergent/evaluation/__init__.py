"""Performance measured here, on stimuli that no subject saw.

Importing this package imports no deep-learning library; evaluating does.
"""

from convergent.evaluation._probe import Probe, linear_probe
from convergent.evaluation._registry import (
    Evaluation,
    Subject,
    evaluate,
    evaluation_names,
    register_evaluation,
)

__all__ = [
    "Evaluation",
    "Probe",
    "Subject",
    "evaluate",
    "evaluation_names",
    "linear_probe",
    "register_evaluation",
]
