"""Performance measured here: on stimuli that no subject saw, or on files of the study.

Importing this package imports no deep-learning library; evaluating does.
"""

from convergent.evaluation._evaluate import (
    Evaluation,
    Needs,
    check_evaluations,
    evaluate,
    evaluation,
)
from convergent.evaluation._material import Material
from convergent.evaluation._probe import Probe, linear_probe
from convergent.evaluation._subject import Subject

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
