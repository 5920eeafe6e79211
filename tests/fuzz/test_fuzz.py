"""Mutated configurations, tables, data and command lines: each error is one line, none is silent.

About 1,000 cases run, the same each time. CONVERGENT_FUZZ=20 runs 20 times as many, at random.
"""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.conftest import CONFIG
from fuzz.outcomes import fresh, run
from fuzz.values import NASTY, WRONG, WRONG_CELLS, WRONG_LINES, WRONG_OWN

TIMES = int(os.environ.get("CONVERGENT_FUZZ", "1"))


def cases(number: int) -> Callable[..., Any]:
    """Settings of one test: how many cases."""
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# readers may warn of what they then refuse
pytestmark = pytest.mark.filterwarnings("ignore")

VALIDATE = ("validate", "--study", "study.yaml")


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Callable[[], Path]:
    """Give the folder of the study, put back as it was."""
    return lambda: fresh(base, tmp_path / "study")


def put(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, making the sections above it."""
    *above, last = key.split(".")
    for name in above:
        config = config.setdefault(name, {})
    config[last] = value


def dump(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def test_the_study_that_is_mutated_is_right(folder, ledger):
    ledger.judge(run(folder(), *VALIDATE), wrong=False, case="unchanged")
    ledger.judge(run(folder(), "data", "check", "data/data.yaml"), wrong=False, case="data")


# ---- configurations ------------------------------------------------------------------------------


@st.composite
def wrong_value(draw: st.DrawFn, where: str) -> tuple[str, Any]:
    table = {"study": WRONG, "own": WRONG_OWN}[where]
    key = draw(st.sampled_from(sorted(table)))
    return key, draw(table[key])


@cases(330)
@given(change=wrong_value("study"))
def test_a_value_that_a_key_cannot_have_is_refused(folder, ledger, change):
    key, value = change
    config = copy.deepcopy(CONFIG)
    put(config, key, value)
    place = folder()
    dump(place / "study.yaml", config)
    ledger.judge(run(place, *VALIDATE), wrong=True, case=f"{key}: {value!r}"[:300])


@cases(40)
@given(change=wrong_value("study"))
def test_a_value_of_the_command_line_is_checked_as_that_of_the_file(folder, ledger, change):
    key, value = change
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("\n...\n")
    if "\0" in text or value in (None, "null") or isinstance(value, dict):
        return  # no process is given a NUL; null and sections have meanings of their own
    outcome = run(folder(), *VALIDATE, "--set", f"{key}={text}")
    # numbers come as text there, and are read as numbers
    ledger.judge(outcome, wrong=None, case=f"--set {key}={text}"[:300])


@cases(60)
@given(change=wrong_value("study"), command=st.sampled_from(["plan", "ls", "status", "targets"]))
def test_commands_that_check_less_have_no_traceback_either(folder, ledger, change, command):
    key, value = change
    config = copy.deepcopy(CONFIG)
    put(config, key, value)
    place = folder()
    dump(place / "study.yaml", config)
    outcome = run(place, command, "--study", "study.yaml")
    ledger.judge(outcome, wrong=None, case=f"{command}, {key}: {value!r}"[:300])


@st.composite
def restructured(draw: st.DrawFn) -> tuple[str, str]:
    """A configuration of which a key is unknown, missing, given twice or no text."""
    config = copy.deepcopy(CONFIG)
    places: list[tuple[tuple[str, ...], dict[str, Any]]] = [((), config)]
    for path, section in places:
        places += [((*path, k), v) for k, v in section.items() if isinstance(v, dict)]
    path, section = draw(st.sampled_from(places))
    what = draw(st.sampled_from(["unknown", "missing", "twice", "no text"]))
    name = ".".join(path) or "top"
    if what == "missing":
        required = {
            "top": ["study", "title", "tables", "datasets"],
            "tables": ["models"],
            "datasets": ["mine"],
            "datasets.mine": ["reader", "modality", "design", "subjects", "options"],
            "datasets.mine.options": ["file"],
        }
        name = draw(st.sampled_from(sorted(required)))
        node = config
        for part in name.split(".") if name != "top" else ():
            node = node[part]
        gone = draw(st.sampled_from(required[name]))
        del node[gone]
        return f"without {name}.{gone}", yaml.safe_dump(config)
    if what == "unknown":
        key = draw(st.text(st.characters(codec="utf-8"), max_size=6)) + "_x"
        if name == "datasets":  # of which any name is known that can be part of a file's
            key += "/"
        section[key] = draw(st.one_of(st.none(), st.integers(), st.just({})))
        if name == "datasets":
            section[key] = section["mine"]
        return f"unknown {name}.{key!r}", yaml.safe_dump(config)
    text = yaml.safe_dump(config, sort_keys=False)
    if what == "twice":
        lines = text.splitlines()
        number = draw(st.integers(0, len(lines) - 1))
        if ":" not in lines[number] or lines[number].lstrip().startswith("-"):
            number = 0
        if lines[number].endswith(":"):  # a section, all of which is repeated
            depth = len(lines[number]) - len(lines[number].lstrip())
            end = number + 1
            while end < len(lines) and (
                len(lines[end]) - len(lines[end].lstrip()) > depth
                or lines[end].lstrip().startswith("-")
            ):
                end += 1
            lines[end:end] = lines[number:end]
        else:
            lines.insert(number, lines[number])
        return f"twice: {lines[number]}", "\n".join(lines)
    odd = draw(st.sampled_from(["5", "null", "1.5", "true", "? [a, b]", "? {a: b}", "2024-01-01"]))
    return f"key {odd}", f"{text}\n{odd} : x\n" if odd[0] != "?" else f"{text}\n{odd}\n: x\n"


@cases(90)
@given(change=restructured())
def test_a_key_that_is_unknown_missing_or_given_twice_is_refused(folder, ledger, change):
    case, text = change
    place = folder()
    (place / "study.yaml").write_text(text, encoding="utf-8")
    ledger.judge(run(place, *VALIDATE), wrong=True, case=case)


_TEXT = yaml.safe_dump(CONFIG, sort_keys=False)
_LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
# Texts that are certainly wrong, and some that are right.
FORMS: dict[str, tuple[bytes, bool]] = {
    "empty": (b"", True),
    "comment": (b"# x\n", True),
    "list": (b"- a\n", True),
    "scalar": (b"hello", True),
    "null": (b"null", True),
    "tab": (_TEXT.replace("  mine:", "\tmine:").encode(), True),
    "byte order mark": (b"\xef\xbb\xbf" + _TEXT.encode(), False),
    "CRLF": (_TEXT.replace("\n", "\r\n").encode(), False),
    "CR": (_TEXT.replace("\n", "\r").encode(), False),
    "latin-1": (_TEXT.replace("A study", "Größe").encode("latin-1"), True),
    "utf-16": (_TEXT.encode("utf-16"), True),
    "utf-32": (_TEXT.encode("utf-32"), True),
    "NUL": (_TEXT.replace("A study", "A\0study").encode(), True),
    "control character": (_TEXT.replace("A study", "A\x1b[31mstudy").encode(), True),
    "surrogate": (_TEXT.replace("A study", "X").encode().replace(b"X", b"\xed\xa0\x80"), True),
    "laughs": ((_LAUGHS + _TEXT).encode(), True),
    "laughs in a known key": ((_TEXT + _LAUGHS.replace("a11:", "description:")).encode(), True),
    "self-reference": ((_TEXT + "description: &d [*d]\n").encode(), True),
    "self-reference in a mapping": ((_TEXT + "select: &d {models: *d}\n").encode(), True),
    "unknown anchor": ((_TEXT + "description: *d\n").encode(), True),
    "python tag": ((_TEXT + "description: !!python/object/apply:os.getcwd []\n").encode(), True),
    "own tag": ((_TEXT + "description: !x y\n").encode(), True),
    "binary tag": ((_TEXT + "description: !!binary AAAA\n").encode(), True),
    "wrong tag": ((_TEXT + "description: !!int abc\n").encode(), True),
    "set": ((_TEXT + "description: !!set {a, b}\n").encode(), True),
    "two documents": ((_TEXT + "---\nstudy: b\n").encode(), True),
    "bracket": ((_TEXT + "select: {models: [a\n").encode(), True),
    "brackets": ((_TEXT + "x: " + "[" * 3000 + "]" * 3000).encode(), True),
    "indented": ((_TEXT + "\n".join(f"{' ' * n}a:" for n in range(2000))).encode(), True),
    "merge of an anchor": (
        _TEXT.replace("fit:\n", "select: &x {models: [net-0]}\ntwins:\n  <<: *x\nfit:\n").encode(),
        False,
    ),
    "merge of text": (_TEXT.replace("fit:\n", "fit:\n  <<: x\n").encode(), True),
    "octal": (_TEXT.replace("folds: 3", "folds: 012").encode(), True),
    "underscore": (_TEXT.replace("permutations: 4", "permutations: 1_000").encode(), True),
    "sexagesimal": (_TEXT.replace("folds: 3", "folds: 1:30").encode(), True),
    "date": (_TEXT.replace("study: s", "study: 2024-01-01").encode(), True),
    "impossible date": (_TEXT.replace("study: s", "study: 2024-13-45").encode(), True),
    "no as a subject": (_TEXT.replace("- '01'", "- no").encode(), True),
    "number as a subject": (_TEXT.replace("- '01'", "- 01").encode(), True),
    "null as a subject": (_TEXT.replace("- '01'", "-").encode(), True),
    "1e400": (_TEXT.replace("number: 5", "high: 1e400").encode(), True),
    "1.0e400": (_TEXT.replace("number: 5", "high: 1.0e+400").encode(), True),
    "digits": (_TEXT.replace("folds: 3", "folds: " + "9" * 5000).encode(), True),
    "hexadecimal digits": (_TEXT.replace("folds: 3", "folds: 0x" + "f" * 5000).encode(), True),
    "2 MB": (_TEXT.encode() + b"#" * (2 << 20), True),
}


@pytest.mark.parametrize("form", FORMS)
def test_yaml_is_what_it_looks_like_or_refused(folder, ledger, form):
    content, wrong = FORMS[form]
    place = folder()
    (place / "study.yaml").write_bytes(content)
    ledger.judge(run(place, *VALIDATE), wrong=wrong, case=form)


_TOKENS = (
    ".nan", "-1", "null", "[]", "{}", '"$(id)"', "9" * 20, "!!python/none", "*x", "&x", '"', "'",
    "\t",
    "\0", "[", "]", "{", "}", ": ", " - ", "é", "~", "|", ">", "%", "@", "`", "2001-01-01", "0o17",
    "1:30", "yes", "=", "<<: *a", "\n", "\u2028", "\ufeff", "? ", "# ", "---", "...",
)  # fmt: skip


@st.composite
def spliced(draw: st.DrawFn, text: str, tokens: tuple[str, ...]) -> str:
    """A text with one or two insertions, deletions, copies or swaps."""
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, max(len(text) - 1, 0)))
        match draw(st.sampled_from(["insert", "delete", "line", "swap"])):
            case "insert":
                text = text[:place] + draw(st.sampled_from(tokens)) + text[place:]
            case "delete":
                text = text[:place] + text[place + draw(st.integers(1, 8)) :]
            case "line":
                lines = text.split("\n")
                line = draw(st.sampled_from(lines))
                lines.insert(draw(st.integers(0, len(lines))), line)
                text = "\n".join(lines)
            case "swap":
                text = text[:place] + draw(st.sampled_from(tokens)) + text[place + 3 :]
    return text


@cases(60)
@given(text=spliced(_TEXT, _TOKENS))
def test_a_damaged_configuration_has_no_traceback(folder, ledger, text):
    place = folder()
    (place / "study.yaml").write_text(text, encoding="utf-8")
    ledger.judge(run(place, *VALIDATE), wrong=None, case=text)


# ---- what is no file -----------------------------------------------------------------------------


def _is_folder(path: Path) -> None:
    path.mkdir()


def _is_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


def _is_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "folder": _is_folder,
    "named pipe": os.mkfifo,
    "socket": _is_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "empty device": lambda path: path.symlink_to("/dev/null"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "10 GB": _is_huge,
    "nothing": lambda path: None,
}
READ = (
    "study.yaml", "models.tsv", "checkpoints.tsv", "performance.tsv", "data/data.yaml",
    "data/stimuli.tsv", "data/sub-02_events.tsv", "data/targets.tsv", "data/sub-02_betas.npy",
    "data/images/image003.png", "text.txt", "images/classes.tsv",
)  # fmt: skip


def writable(place: Path) -> None:
    """Make the data of a study a folder of its own, whose files are links."""
    data = (place / "data").resolve()
    (place / "data").unlink()
    (place / "data" / "images").mkdir(parents=True)
    for path in data.iterdir():
        if path.is_file():
            (place / "data" / path.name).symlink_to(path)
    for path in (data / "images").iterdir():
        (place / "data" / "images" / path.name).symlink_to(path)


@pytest.mark.parametrize("file", READ)
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_refused_at_once(folder, ledger, file, kind):
    place = folder()
    writable(place)
    arguments = [*VALIDATE]
    if file == "text.txt":
        arguments += ["--set", "performance.text=text.txt"]
    if file == "images/classes.tsv":
        (place / "images" / "a").mkdir(parents=True)
        arguments += ["--set", "performance.images=images"]
        arguments += ["--set", "performance.classes=images/classes.tsv"]
    path = place / file
    path.unlink(missing_ok=True)
    SPECIAL[kind](path)
    if file.startswith("data/") and file != "data/data.yaml":  # `validate` reads stimuli only
        arguments = ["data", "check", "data/data.yaml"]
    # a data set that lists no subjects has those whose files are there
    wrong = None if (file, kind) == ("data/sub-02_betas.npy", "nothing") else True
    ledger.judge(run(place, *arguments), wrong=wrong, case=f"{file} is a {kind}")


# ---- tables --------------------------------------------------------------------------------------


def change_cell(path: Path, row: int, column: str, value: str) -> None:
    lines = path.read_text().splitlines()
    cells = lines[row].split("\t")
    cells[lines[0].split("\t").index(column)] = value
    lines[row] = "\t".join(cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@st.composite
def wrong_cell(draw: st.DrawFn) -> tuple[tuple[str, int, str], str]:
    place = draw(st.sampled_from(sorted(WRONG_CELLS)))
    return place, draw(WRONG_CELLS[place])


@cases(220)
@given(change=wrong_cell())
def test_a_cell_that_a_column_cannot_have_is_refused(folder, ledger, change):
    (table, row, column), value = change
    place = folder()
    change_cell(place / f"{table}.tsv", row, column, value)
    outcome = run(place, *VALIDATE)
    ledger.judge(outcome, wrong=True, case=f"{table}.tsv, row {row}, {column}: {value!r}"[:300])


@st.composite
def wrong_table(draw: st.DrawFn, table: str) -> tuple[str, Callable[[str], str | bytes], bool]:
    """A change to the whole of a table: its name, what it does, whether that is wrong."""
    line = draw(WRONG_LINES[table])
    changes: dict[str, tuple[Callable[[str], str | bytes], bool]] = {
        "commas": (lambda t: t.replace("\t", ","), True),
        "semicolons": (lambda t: t.replace("\t", ";"), True),
        "spaces": (lambda t: t.replace("\t", "  "), True),
        "byte order mark": (lambda t: "\ufeff" + t, False),
        "utf-16": (lambda t: t.encode("utf-16"), True),
        "latin-1": (lambda t: t.replace("note", "größe").replace("paper", "ä").encode("latin-1"),
                    table != "checkpoints"),
        "CR": (lambda t: t.replace("\n", "\r"), False),
        "CRLF": (lambda t: t.replace("\n", "\r\n"), False),
        "no last line end": (lambda t: t.rstrip("\n"), False),
        "header only": (lambda t: t.splitlines()[0] + "\n", True),
        "empty": (lambda t: "", True),
        "comments": (lambda t: "# x\n", True),
        "trailing tabs": (lambda t: t.replace("\n", "\t\n"), True),
        "a column twice": (lambda t: _column(t, t.split("\t")[0]), True),
        "a column without name": (lambda t: _column(t, ""), True),
        "an unknown column": (lambda t: _column(t, "colour"), True),
        "without a column": (
            lambda t: "\n".join(row.split("\t", 1)[1] for row in t.splitlines()),
            True,
        ),
        "a tab more": (lambda t: t.replace("\n", "\n\t", 1), True),
        "NUL": (lambda t: t.replace("\n", "\0\n", 1), True),
        "form feed": (lambda t: t.replace("\n", "\x0c\n", 1), True),
        "NEL": (lambda t: t.replace("\n", "\x85\n", 1), True),
        "unclosed quote": (lambda t: t.replace("\n", '\n"', 1), True),
        "text after a quote": (lambda t: t.replace("\n", '\n"a"b', 1), True),
        "a line more": (lambda t: t + line + "\n", True),
        "rows reversed": (lambda t: "\n".join([t.splitlines()[0], *t.splitlines()[:0:-1]]), False),
        "blank lines": (lambda t: t.replace("\n", "\n\n  \n# x\n"), False),
    }  # fmt: skip
    name = draw(st.sampled_from(sorted(changes)))
    change, wrong = changes[name]
    return f"{name} {line if name == 'a line more' else ''}", change, wrong


def _column(text: str, name: str) -> str:
    header, *rows = text.splitlines()
    return "\n".join([f"{header}\t{name}", *(f"{row}\tx" for row in rows)])


@pytest.mark.parametrize("table", ["models", "checkpoints", "performance"])
def test_a_table_that_is_none_is_refused(folder, ledger, table):
    @cases(40)
    @given(change=wrong_table(table))
    def check(change: tuple[str, Callable[[str], str | bytes], bool]) -> None:
        name, mutate, wrong = change
        place = folder()
        path = place / f"{table}.tsv"
        content = mutate(path.read_text())
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        ledger.judge(run(place, *VALIDATE), wrong=wrong, case=f"{table}.tsv: {name}")

    check()


# ---- data of one's own ---------------------------------------------------------------------------


@cases(110)
@given(change=wrong_value("own"))
def test_a_wrong_description_of_data_is_refused(folder, ledger, base, change):
    key, value = change
    place = folder()
    writable(place)
    file = place / "data" / "data.yaml"
    config = yaml.safe_load(file.read_text())
    put(config, key, value)
    file.unlink()
    dump(file, config)
    outcome = run(place, "data", "check", "data/data.yaml")
    ledger.judge(outcome, wrong=True, case=f"{key}: {value!r}"[:300])


@st.composite
def damaged(draw: st.DrawFn, path: Path) -> bytes:
    """Content of a file of which some bytes are flipped, cut off, zeroed or inserted."""
    content = path.read_bytes()
    place = draw(st.integers(0, len(content) - 1))
    match draw(st.sampled_from(["flip", "head", "cut", "tail", "zero", "insert", "empty"])):
        case "flip":
            return content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :]
        case "head":
            place = draw(st.integers(0, min(200, len(content) - 1)))
            flip = 1 << draw(st.integers(0, 7))
            return content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
        case "cut":
            return content[:place]
        case "tail":
            return content[: -draw(st.integers(1, 40))]
        case "zero":
            return content[:place] + bytes(512) + content[place + 512 :]
        case "insert":
            return content[:place] + b"\0" + content[place:]
        case _:
            return b""


@pytest.mark.parametrize(
    "name",
    ["images/image000.png", "stimuli.tsv", "sub-01_events.tsv", "targets.tsv", "sub-01_betas.npy"],
)
def test_damaged_data_have_no_traceback(folder, ledger, base, name):
    @cases(20)
    @given(raw=damaged(base / "data" / name))
    def check(raw: bytes) -> None:
        place = folder()
        writable(place)
        (place / "data" / name).unlink()
        (place / "data" / name).write_bytes(raw)
        outcome = run(place, "data", "check", "data/data.yaml")
        # NumPy's files have no checksum, and a flip in a table may be another name
        ledger.judge(outcome, wrong=True if raw == b"" else None, case=f"{name}: {raw[:300]!r}")

    check()


# ---- command lines -------------------------------------------------------------------------------

_NAMED = {
    "stimuli": ["dataset"],
    "responses": ["dataset", "subject"],
    "train": ["model"],
    "weights": ["model", "checkpoint"],
    "extract": ["model", "checkpoint", "layer"],
    "evaluate": ["model"],
    "fit": ["model", "checkpoint", "layer", "subject"],
    "ceilings": ["dataset"],
    "measure": ["model"],
    "family": ["family"],
    "ls": ["family"],
    "maps": ["dataset"],
    "cube": ["dataset"],
    "targets": ["family", "model"],
}


@st.composite
def wrong_arguments(draw: st.DrawFn) -> list[str]:
    """A command that is certainly wrong: an unknown name, option, setting or file."""
    nasty = st.sampled_from([name for name in NASTY if name != "--help"])
    command = draw(st.sampled_from(sorted(_NAMED)))
    names = _NAMED[command]
    study = ["--study", "study.yaml"]
    kinds = ["name", "option", "set", "study", "command", "own", "key", "other"]
    match draw(st.sampled_from(kinds)):
        case "name":
            known = {"dataset": "mine", "model": "net-0", "checkpoint": "end", "layer": "head",
                     "subject": "01", "family": "nets"}  # fmt: skip
            wrong = draw(st.integers(0, len(names) - 1))
            given_ = [known[name] for name in names[:wrong]] + [draw(nasty)]
            pairs = zip(names, given_, strict=False)
            return [command, *study, *(word for k, v in pairs for word in (f"--{k}", v))]
        case "option":
            return [
                command,
                *study,
                f"--{draw(st.sampled_from(['modle', 'x', 'family-name']))}",
                "x",
            ]
        case "set":
            text = draw(st.sampled_from(["", "=", "x", "fit", "fit.folds", "=3", ".=3", "fit.=3",
                                         "fit..folds=3", "study.x=3", "fit.fold=3", "fit=[", "a=b",
                                         "fit.folds={", "title=!!x y", "fit.folds=2024-01-01",
                                         "fit.folds=&a [*a]", "tables.models.x=3"]))  # fmt: skip
            return [draw(st.sampled_from(["validate", "ls", "plan"])), *study, "--set", text]
        case "study":
            return ["validate", "--study", draw(nasty)]
        case "own":
            return ["data", "check", draw(nasty)]
        case "other":
            one, two = draw(nasty), draw(nasty)
            return draw(st.sampled_from([
                ["compare", one, two], ["query", one, *study], ["query", "--results", one, "x"],
                ["models", "check", one], ["models", "pin", one], ["data", "example", "data"],
                ["status", "--study", one], ["verify", "--study", one], ["gc", "--study", one],
                ["data", "example", "new", "--kind", one], ["fetch", one, "--to", "x"],
                ["data", "check", "data/data.yaml", "--picture", one],
                ["data", "check", "data/data.yaml", "--subject", one],
                ["query", "--csv", one, *study, "SELECT 1"], ["plan", "--family", one],
            ]))  # fmt: skip
        case "key":
            return ["plan", *study, "--set", draw(nasty)]
        case _:
            return [draw(nasty), *study]


@cases(110)
@given(arguments=wrong_arguments())
def test_a_wrong_command_line_is_refused(folder, ledger, arguments):
    place = folder()
    ledger.judge(run(place, *arguments), wrong=True, case=repr(arguments)[:300])
    with suppress(FileNotFoundError):
        assert not list((place / "results").rglob("*.zarr.zip"))
