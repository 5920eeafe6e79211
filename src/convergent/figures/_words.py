"""Numbers as words: the same rounding everywhere."""

from __future__ import annotations

import math


def number(value: float | None, digits: int = 2) -> str:
    """Round a number; a dash where there is none, and no minus before a zero."""
    if value is None or math.isnan(value):
        return "–"
    if digits == 2 and 0.995 <= abs(value) < 1:
        digits = 3  # A correlation of 0.998 is not 1.
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Write an interval as ``[low, high]``, or say that there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "not available"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def p_value(value: float | None) -> str:
    """Write a p value with two significant digits, never as 0."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
