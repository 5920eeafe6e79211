from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergent.brains import read_textgrid
from convergent.errors import DataError

LABELS = [(0.0, 0.5, "sp"), (0.5, 1.25, "Alice"), (1.25, 1.25, ""), (1.25, 2.0, 'say "no"')]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "story.TextGrid"


def read_labels(path: Path) -> list[tuple[float, float, str]]:
    tier = read_textgrid(path).tier("word")
    return [(label.start, label.end, label.text) for label in tier.intervals]


def test_long_format_is_read_with_quotes_undone(path: Path, make_textgrid: Callable) -> None:
    path.write_text(make_textgrid(LABELS), encoding="utf-8")
    grid = read_textgrid(path)
    assert (grid.start, grid.end) == (0.0, 2.0)
    assert [tier.kind for tier in grid.tiers] == ["IntervalTier"]
    assert read_labels(path) == LABELS
    assert grid.tier("word").intervals[1].line == 22


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('"!<>[]=\n')),
        max_size=6,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_text_survives(path: Path, make_textgrid: Callable, texts: list[str]) -> None:
    labels = [(float(n), n + 1.0, text) for n, text in enumerate(texts)]
    path.write_bytes(make_textgrid(labels).encode())
    assert read_labels(path) == labels


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(
    path: Path, make_textgrid: Callable, encoding: str, newline: str
) -> None:
    labels = [(0.0, 1.0, "déjà")]
    path.write_bytes(make_textgrid(labels).replace("\n", newline).encode(encoding))
    assert read_labels(path) == labels


def test_big_endian_utf16(path: Path, make_textgrid: Callable) -> None:
    text = make_textgrid([(0.0, 1.0, "für")])
    path.write_bytes(codecs.BOM_UTF16_BE + text.encode("utf-16-be"))
    assert read_labels(path) == [(0.0, 1.0, "für")]


def test_short_format_points_and_comments(path: Path) -> None:
    path.write_text(
        '"ooTextFile"\n"TextGrid"\n0\n2 ! seconds\n<exists>\n2\n'
        '"IntervalTier" "word" 0 2 1\n0 2 "all"\n'
        '"TextTier"\n"beep"\n0\n2\n1\n1.5\n"here"\n'
    )
    grid = read_textgrid(path)
    assert grid.tier("word").intervals[0].text == "all"
    beep = grid.tier("beep").intervals[0]
    assert (beep.start, beep.end, beep.text) == (1.5, 1.5, "here")


def test_no_tiers(path: Path) -> None:
    path.write_text('"ooTextFile"\n"TextGrid"\n0\n2\n<absent>\n')
    assert read_textgrid(path).tiers == ()
    with pytest.raises(DataError, match="0 tiers are called 'word'"):
        read_textgrid(path).tier("word")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "xmin = 0.5",
            "xmin = half",
            r"line 22: expected the end of a label .* found string 'Alice'",
        ),
        ("xmax = 1.25", "xmax = 0.25", r"line 22: label 'Alice' .* from 0.5 to 0.25"),
        ("xmin = 0.5", "xmin = 0.25", r"line 22: .* the one before it ends at 0.5 s"),
        ("size = 4", "size = 3", r"line 28: number '1.25' after the last label"),
        ("size = 4", "size = 5", r"line 30: the file ends where the start of a label"),
        ("size = 4", "size = 4.5", r"line 14: size is 4.5"),
        ('"Alice"', '"Alice', r"is the quote on line 22 closed\?"),
        ('"no"""', '"no""', r"line 30: a quote that is never closed"),
        ("TextGrid", "Sound", "not a TextGrid"),
        ("IntervalTier", "SpectrumTier", "line 10: a tier of class 'SpectrumTier'"),
        ('name = "word"', 'name = "words"', "did you mean 'words'"),
    ],
)
def test_damage_is_told_with_file_and_line(
    path: Path, make_textgrid: Callable, old: str, new: str, message: str
) -> None:
    text = make_textgrid(LABELS)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as caught:
        read_labels(path)
    assert "story.TextGrid" in str(caught.value)


def test_every_truncation_is_an_error(path: Path, make_textgrid: Callable) -> None:
    text = make_textgrid(LABELS).rstrip()
    for length in range(0, text.rindex("text ="), 7):
        path.write_text(text[:length])
        with pytest.raises(DataError):
            read_textgrid(path)


def test_missing_and_binary_files(path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_textgrid(path)
    path.write_bytes(b"ooBinaryFile\x08TextGrid")
    with pytest.raises(DataError, match="a binary TextGrid"):
        read_textgrid(path)
    path.write_bytes(codecs.BOM_UTF16_LE + b"a")
    with pytest.raises(DataError, match="damaged UTF-16"):
        read_textgrid(path)


def test_the_alice_textgrid_has_2127_words(shared_data: Path) -> None:
    folder = shared_data / "alice_fmri/alice_stim_shared"
    labels = read_labels(next(folder.glob("*.TextGrid")))
    words = [text for _, _, text in labels if text.strip() not in ("", "sp")]
    assert len(labels) == 2423
    assert len(words) == 2127
    assert (words[0], words[-1]) == ("Alice", "cake")
