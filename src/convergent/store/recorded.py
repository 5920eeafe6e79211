"""What files say of themselves, and whether that is what a study asks for now."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergent.study import Study


def attributes(path: str | Path) -> dict[str, Any]:
    """What a store or record says of itself; arrays are not read.

    Parameters
    ----------
    path : str or Path
        ``*.zarr.zip`` or ``*.json``.

    Returns
    -------
    dict
        Empty where the file is missing, damaged, or of a kind that says nothing.
    """
    try:
        if str(path).endswith(".zarr.zip"):
            with zipfile.ZipFile(path) as archive:
                found = json.loads(archive.read("zarr.json"))["attributes"]
        elif str(path).endswith(".json"):
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        else:
            return {}
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}


def is_current(study: Study, stage: str, keys: Mapping[str, str], path: str | Path) -> bool | None:
    """Whether a file is what a study asks for, as far as the file says.

    Parameters
    ----------
    study : Study
    stage : str
        That wrote it.
    keys : mapping of str to str
        What is in it: see `convergent.study.graph.Graph.files`.
    path : str or Path

    Returns
    -------
    bool or None
        None: the file says nothing. An alignment store may hold more metrics than the study lists.
    """
    said = attributes(path)
    if "identity" not in said:
        return None
    named = {key: value for key, value in keys.items() if key != "subject"}
    if any(said.get(key, value) != value for key, value in keys.items()):
        return False
    if stage == "fit":
        return FitIdentity.of(study, **named).is_of(said)
    return bool(said["identity"] == study.identity(stage, **named))


@dataclass(frozen=True)
class FitIdentity:
    """What an alignment store must be of, which may hold more metrics than a study lists.

    Attributes
    ----------
    whole : str
        Identity of a store of these metrics alone.
    metrics : dict of str to str
        Identity of each metric.
    features : str
        Identity of the features, which is all that counts for a layer that failed.
    """

    whole: str
    metrics: Mapping[str, str]
    features: str

    @classmethod
    def of(cls, study: Study, **keys: str) -> FitIdentity:
        """Ask for one layer: ``dataset``, ``model``, ``checkpoint``, ``layer``."""
        return cls(
            study.identity("fit", **keys),
            study.metric_identities(**keys),
            study.identity("extract", **keys),
        )

    def is_of(self, said: Mapping[str, Any]) -> bool:
        """Whether the attributes of a store are those of such a store."""
        if said.get("identity") == self.whole:
            return True
        if said.get("status") != "ok":
            return bool(said.get("features_identity") == self.features)
        there = said.get("metrics") or {}
        return all(
            # of ``unique`` the fingerprints of the nuisance features follow
            str(there.get(name, {}).get("identity", "")).partition(" ")[0] == wanted
            for name, wanted in self.metrics.items()
        )
