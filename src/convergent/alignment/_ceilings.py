"""Noise ceilings, which readers of data sets need as well: see `convergent.noise`."""

from convergent.noise import (
    intersubject_correlation,
    leave_one_subject_out_ceiling,
    ncsnr_ceiling,
    ncsnr_ceiling_of_sums,
    ncsnr_to_ceiling,
    split_half_ceiling,
)

__all__ = [
    "intersubject_correlation",
    "leave_one_subject_out_ceiling",
    "ncsnr_ceiling",
    "ncsnr_ceiling_of_sums",
    "ncsnr_to_ceiling",
    "split_half_ceiling",
]
