"""One reader of text, YAML and tables: what it takes, and what it refuses."""

from __future__ import annotations

import os

import pytest

from convergent.errors import ConfigError, DataError, TableError
from convergent.text_files import MB, parse_yaml, read_cells, read_text, read_yaml


def test_text_loses_its_byte_order_mark_and_has_one_kind_of_line_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(path) == "a\nb\nc\n"
    assert read_text(path, as_is=True) == "a\r\nb\rc\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\xffb", "byte 0xff in line 2 is not UTF-8"),
        (b"a\nb\0c", r"control character U\+0000 in line 2"),
        (b"a\n\nb\x1b[31m", r"control character U\+001B in line 3"),
        ("a\u0085b".encode(), r"U\+0085"),
    ],
)
def test_what_is_no_plain_text_is_named_with_its_line(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_text(path, error=DataError)


def test_running_text_may_have_control_characters_but_no_nul(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\x0cb")
    assert read_text(path, as_is=True) == "a\x0cb"
    path.write_bytes(b"a\0b")
    with pytest.raises(ConfigError, match=r"U\+0000"):
        read_text(path, as_is=True)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="this is a named pipe, not a file"):
        read_text(tmp_path / "pipe")


def test_a_dangling_link_says_where_it_points(tmp_path):
    (tmp_path / "link").symlink_to("gone.txt")
    with pytest.raises(ConfigError, match=r"points at 'gone.txt', which does not exist"):
        read_text(tmp_path / "link")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(ConfigError, match="the file has 10,240 MB, at most 256 are read"):
        read_text(tmp_path / "a")
    with pytest.raises(ConfigError, match="at most 1 are read"):
        read_yaml(tmp_path / "a", fix="")
    assert MB == 1024**2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: key 'a' is given twice"),
        ("x:\n  a: 1\n  a: 2", "line 3, column 3: key 'a' is given twice"),
        ("{a: 1, a: 2}", "key 'a' is given twice"),
        ("[{a: 1, a: 2}]", "key 'a' is given twice"),
        ("5: x", "key '5' is no text"),
        ("no: x", "key 'no' is no text"),
        ("? [a]\n: x", "key a list is no text"),
        ("a: 012", "YAML reads '012' as another number"),
        ("a: 1_000", "YAML reads '1_000' as another number"),
        ("a: 1:30", "YAML reads '1:30' as another number"),
        ("a: 2024-01-01", "YAML reads '2024-01-01' as a date"),
        ("a: &x [*x]", "an anchor refers to itself"),
        ("a: &x {b: *x}", "an anchor refers to itself"),
        ("a: !!python/name:os.system", "the tag .* is not allowed"),
        ("a: !!binary AAAA", "the tag .* is not allowed"),
        ("a: " + "9" * 5000, "has 5000 digits"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("a: [", "not valid YAML"),
    ],
)
def test_yaml_that_is_not_what_it_looks_like_is_refused_with_its_line(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_yaml(text, where="a.yaml")
    assert "\n" not in str(caught.value)


def test_anchors_that_multiply_are_refused_before_they_do():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(ConfigError, match="stands for more than 100,000 values"):
        parse_yaml("\n".join(lines), where="a.yaml")


def test_plain_yaml_means_what_yaml_says():
    text = "a: &x {b: 1, c: yes}\nd: {<<: *x, b: 2}\ne: '012'\nf: 1.5e-3\ng:\nh: [0, -7]\ni: 0.1"
    assert parse_yaml(text, where="") == {
        "a": {"b": 1, "c": True},
        "d": {"b": 2, "c": True},
        "e": "012",
        "f": 1.5e-3,
        "g": None,
        "h": [0, -7],
        "i": 0.1,
    }


def test_cells_may_be_quoted_and_rows_know_their_line(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('# it\'s "x\na\tb\n\n"1\t2"\t say ""\n5" disk\tx\n')
    assert read_cells(path, comments=True) == [
        (2, ["a", "b"]),
        (4, ["1\t2", 'say ""']),
        (5, ['5" disk', "x"]),
    ]


def test_a_quoted_cell_has_several_lines_where_there_are_no_comments(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"a\nb"\n2,c\n')
    assert read_cells(path, delimiter=",") == [
        (1, ["id", "text"]),
        (2, ["1", "a\nb"]),
        (4, ["2", "c"]),
    ]


@pytest.mark.parametrize("comments", [True, False])
def test_a_quote_that_is_not_closed_is_named_with_its_line(tmp_path, comments):
    path = tmp_path / "a.tsv"
    path.write_text('a\tb\n1\t"2\n3\t4\n')
    with pytest.raises(TableError, match="line 2: a quote is not closed"):
        read_cells(path, comments=comments)


def test_other_unicode_separators_end_no_line(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\n1\tx\u2028y\n", encoding="utf-8")
    assert read_cells(path)[1] == (2, ["1", "x\u2028y"])
