"""Which sessions of a subject are read: by number, however they are listed."""

from __future__ import annotations

import re

import numpy as np

from convergent.brains.nsd._design import Design
from convergent.brains.nsd._files import Folder, Format, session_file
from convergent.brains.nsd._prepare import Trials
from convergent.errors import DataError

_NUMBER = re.compile(r"(?:[lr]h\.)?betas_session(\d+)\.(hdf5|nii\.gz|mgh)")


def find_sessions(
    folder: Folder,
    relative: str,
    subject: str,
    design: Design,
    *,
    hemispheres: tuple[str, ...],
    suffix: Format,
    wanted: int | None,
    allow_missing: bool,
) -> tuple[int, ...]:
    """Numbers of the sessions to read, increasing.

    Parameters
    ----------
    relative : str
        Folder of the betas.
    hemispheres : tuple of str
        ``lh`` and ``rh``, or one empty name for a volume.
    wanted : int or None
        The first so many; all that the subject completed if None.
    allow_missing : bool
        Read those that are there.

    Raises
    ------
    DataError
        A session is missing, or there are more than the subject completed.
    """
    where = str(folder.path / relative)
    needed = range(1, design.completed(subject, wanted) + 1)
    missing = [
        name
        for number in needed
        for hemisphere in hemispheres
        if not folder.has(f"{relative}/{(name := session_file(hemisphere, number, suffix))}")
    ]
    beyond = sorted(_listed(folder, relative) - set(range(1, design.completed(subject) + 1)))
    if beyond:
        raise DataError(
            f"session {beyond[0]} of {subject}, who completed {design.completed(subject)}",
            where=where,
            fix="check that the files are this subject's",
        )
    if missing and not allow_missing:
        shown = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise DataError(
            f"{len(missing)} files of the {len(needed)} sessions are missing: {shown}",
            where=where,
            fix="download them; or set options.sessions to read the first so many, or "
            "options.allow_missing_sessions: true",
        )
    absent = {int(_matched(name)) for name in missing}
    found = tuple(number for number in needed if number not in absent)
    if not found:
        raise DataError("there is no session", where=where, fix="check options.data")
    return found


def trials_of(design: Design, subject: str, sessions: tuple[int, ...]) -> Trials:
    """Images that sessions showed."""
    return Trials(sessions, np.stack([design.shown(subject, number) for number in sessions]))


def _listed(folder: Folder, relative: str) -> set[int]:
    """Numbers of all sessions whose files are there."""
    place = folder.path / relative
    names = [path.name for path in place.iterdir()] if place.is_dir() else []
    return {int(found[1]) for name in names if (found := _NUMBER.fullmatch(name))}


def _matched(name: str) -> str:
    found = _NUMBER.fullmatch(name)
    assert found is not None
    return found[1]
