"""Figures of places, depth and scale: words agree with the tables."""

from __future__ import annotations

import polars as pl
import pytest

import planted
from convergent.figures import (
    FigureError,
    draw_figure,
    gradient_words,
    shift_words,
    trend_words,
)

PAIR = {
    "dataset": "pictures", "modality": "vision", "other_dataset": "words",
    "other_modality": "language", "measure": "score", "n_regions": 80, "n_models": 12,
    "n_families": 4, "other_n_models": 9, "other_n_families": 3, "reason": None,
}  # fmt: skip


def _convergence() -> dict[str, pl.DataFrame]:
    by_depth = [
        PAIR
        | {
            "bin": i, "depth": (i + 0.5) / 8, "r": 0.1 * i, "low": 0.1 * i - 0.2,
            "high": 0.1 * i + 0.2, "p_spin": 0.3, "within": 0.7, "other_within": 0.6,
            "corrected": None if i == 0 else 0.11 * i, "corrected_low": None,
            "corrected_high": None,
        }
        for i in range(8)
    ]  # fmt: skip
    trend = [
        PAIR
        | {"statistic": name, "early": 0.2, "late": 0.5, "difference": 0.3, "low": 0.1,
           "high": 0.5, "p": 0.02}
        for name in ("r", "corrected r")
    ]  # fmt: skip
    return {
        "convergence": pl.DataFrame(by_depth, infer_schema_length=None),
        "convergence_trend": pl.DataFrame(trend),
    }


def test_convergence_is_drawn_for_a_pair_and_refused_without_one():
    tables = _convergence()
    (drawing,) = draw_figure("convergence", tables)
    assert drawing.name == "convergence-pictures-words"
    assert "0.20 in the early half and 0.50 in the late one" in drawing.caption
    assert "[0.10, 0.50], p 0.02" in drawing.caption
    assert drawing.plotly_json() != "null"
    empty = {name: table.clear() for name, table in tables.items()}
    with pytest.raises(FigureError, match="no two modalities"):
        draw_figure("convergence", empty)


def test_places_and_scales_are_drawn_one_a_data_set():
    tables = planted.claim_tables(planted.planted_study())
    names = [d.name for figure in ("gradient", "networks", "depth", "scale-peaks")
             for d in draw_figure(figure, tables)]  # fmt: skip
    assert len(names) == len(set(names))
    assert {"gradient-scenes-vision", "networks-scenes-vision", "depth-scenes-vision"} <= set(names)
    assert "gradient-story-language" not in names  # its regions have no position


def test_a_missing_test_gives_its_reason_and_no_number():
    row = {"measure": "score", "rho": None, "reason": "too few"}
    assert gradient_words(row) == "alignment: not tested (too few)"
    assert "not tested (too few)" in shift_words({"given": "", "p": None, "reason": "too few"})
    told = trend_words({"statistic": "r", "p": None, "low": None, "high": None, "reason": "few"})
    assert told == "r: not tested (few)"
    half = {
        "measure": "score", "rho": 0.4, "rho_low": None, "rho_high": None, "n_regions": 20,
        "p_spin": None, "reason": "no surface",
    }  # fmt: skip
    assert gradient_words(half).endswith("no surface")
