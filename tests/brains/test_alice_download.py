from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from convergent.brains.alice import download
from convergent.brains.alice import files as _download
from convergent.brains.alice import files as _files
from convergent.errors import DataError

CONTENTS = {"alice_data_shared/6mm/a.txt": b"1 2 3\n", "alice_stim_shared/b.TextGrid": b"words"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source of two files, and their checksums in place of the published ones."""
    folder = tmp_path / "server"
    for relative, content in CONTENTS.items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(content)
    table = {
        relative: _files.PublishedFile(relative, len(content), hashlib.sha256(content).hexdigest())
        for relative, content in CONTENTS.items()
    }
    monkeypatch.setattr(_files, "published_files", lambda: table)
    monkeypatch.setattr(_download, "published_files", lambda: table)
    return folder


def test_all_files_arrive_and_nothing_else(server: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    target = download(tmp_path / "data", source=server.as_uri(), report=lines.append)
    found = {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    assert found == CONTENTS
    assert len(lines) == 2


def test_right_files_are_kept_and_wrong_ones_replaced(server: Path, tmp_path: Path) -> None:
    target = download(tmp_path / "data", source=server.as_uri())
    (target / "alice_stim_shared/b.TextGrid").write_bytes(b"damaged")
    lines: list[str] = []
    download(target, source=server.as_uri(), report=lines.append)
    assert lines == ["fetched alice_stim_shared/b.TextGrid (5 bytes)"]
    assert (target / "alice_stim_shared/b.TextGrid").read_bytes() == b"words"


def test_other_content_is_refused_and_leaves_nothing(server: Path, tmp_path: Path) -> None:
    (server / "alice_stim_shared/b.TextGrid").write_bytes(b"WORDS")
    with pytest.raises(DataError, match=r"b\.TextGrid is not the published one: 5 bytes"):
        download(tmp_path / "data", source=server.as_uri())
    names = sorted(path.name for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert names == ["a.txt"]


def test_a_missing_file_is_named(server: Path, tmp_path: Path) -> None:
    (server / "alice_stim_shared/b.TextGrid").unlink()
    with pytest.raises(DataError, match=r"b\.TextGrid cannot be fetched: .*No such file"):
        download(tmp_path / "data", source=server.as_uri())


@pytest.mark.parametrize(("code", "calls"), [(404, 1), (503, 3)])
def test_server_errors_are_tried_again_and_client_errors_are_not(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, calls: int
) -> None:
    asked = []

    def refuse(address: str, timeout: float) -> None:
        asked.append(address)
        raise urllib.error.HTTPError(address, code, "no", None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match=f"cannot be fetched: {code} no"):
        download(tmp_path / "data")
    assert len(asked) == calls
    assert asked[0] == _files.SOURCE + "alice_data_shared/6mm/a.txt"


def test_a_full_disk_is_told_and_the_temporary_file_removed(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"a\.txt cannot be written: No space left"):
        download(tmp_path / "data", source=server.as_uri())
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_the_table_covers_what_the_reader_reads() -> None:
    from convergent.brains.alice import AliceReader

    table = _files.published_files()
    assert len(table) == 141
    assert _files.TEXTGRID in table
    for subject in AliceReader().subjects():
        for name in ("6mm/{}-timecourses", "10mm/{}-timecourses", "{}-rate", "{}-sndpwr"):
            assert f"alice_data_shared/{name.format(subject)}.txt" in table
        assert _files.motion_file(subject) in table
    assert not any("s33" in path for path in table)
    assert all(len(file.sha256) == 64 and file.size > 0 for file in table.values())


def test_the_shared_copy_downloads_whole(shared_data: Path, tmp_path: Path) -> None:
    source = (shared_data / "alice_fmri").resolve().as_uri()
    target = download(tmp_path / "alice", source=source)
    assert sum(path.is_file() for path in target.rglob("*")) == 141
