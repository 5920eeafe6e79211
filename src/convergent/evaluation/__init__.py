"""Performance measured here: on stimuli that no subject saw, or on files of the study.

Importing this package imports no deep-learning library; evaluating does.
"""

from convergent.evaluation.evaluate import (
    Evaluation,
    Material,
    Needs,
    Subject,
    check_evaluations,
    evaluate,
    evaluation,
)
from convergent.evaluation.probe import Probe, linear_probe

__all__ = [
    "Evaluation",
    "Material",
    "Needs",
    "Probe",
    "Subject",
    "check_evaluations",
    "evaluate",
    "evaluation",
    "linear_probe",
]
