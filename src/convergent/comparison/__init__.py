"""Two studies, or two versions of one, side by side: what changed, and by how much."""

from ._compare import Comparison, compare
from ._facts import Change, Facts
from ._page import comparison_page
from ._scores import COLUMNS, ScoreChanges
from ._sections import Section, sections
from ._side import MEASUREMENT_COLUMNS, Side
from ._words import verdict

__all__ = [
    "COLUMNS",
    "MEASUREMENT_COLUMNS",
    "Change",
    "Comparison",
    "Facts",
    "ScoreChanges",
    "Section",
    "Side",
    "compare",
    "comparison_page",
    "sections",
    "verdict",
]
