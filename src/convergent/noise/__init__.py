"""How much of the responses any model could explain, in r^2 units.

A ceiling is estimated from the brain data alone; targets are masked by it, never by a model's
score. Predictions are compared with it as r / sqrt(ceiling).
"""

from convergent.noise._agreement import (
    intersubject_correlation,
    leave_one_subject_out_ceiling,
    split_half_ceiling,
)
from convergent.noise._repeats import ncsnr_ceiling, ncsnr_ceiling_of_sums, ncsnr_to_ceiling

__all__ = [
    "intersubject_correlation",
    "leave_one_subject_out_ceiling",
    "ncsnr_ceiling",
    "ncsnr_ceiling_of_sums",
    "ncsnr_to_ceiling",
    "split_half_ceiling",
]
