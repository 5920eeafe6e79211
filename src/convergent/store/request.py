"""What a study asks of a file of its results, and whether the file is that.

A file's name proves nothing: it may have been copied, restored or made with other settings. Every
store, table and record says itself what it is of (keys), with which settings it was made (identity)
and from which files (fingerprints). Who reads one compares all three with what was asked for.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from convergent.errors import StoreError
from convergent.store.archive import DAMAGE, Archive, fingerprint, named_errors, open_file
from convergent.study import Study

# Under this name a table says what it is.
TABLE_KEY = "convergent"
# Every key that a file can be of; one that is not asked for must not be there.
_KEYS = ("study", "dataset", "model", "checkpoint", "layer", "subject", "family")
_KINDS = {"extract": "features", "fit": "alignment", "train": "training", "evaluate": "performance"}


class Difference(NamedTuple):
    """Why a file is not what was asked for.

    Attributes
    ----------
    kind : {"settings", "inputs"}
        Of something else or of other settings; made from other files than those there now.
    what : str
    """

    kind: Literal["settings", "inputs"]
    what: str


@dataclass(frozen=True)
class StoreRequest:
    """A file of results that a study asks for: a store, table or record.

    Attributes
    ----------
    path : str
    stage : str
        That writes it.
    kind : str
        What it holds, such as ``features`` or ``measurements``.
    keys : mapping of str to str
        What it is of: data set, model, checkpoint, layer, subject, family.
    identity : str
        Fingerprint of the settings.
    study : str
        File of the study, for messages.
    metrics : mapping of str to str
        Of an alignment store: identity of each metric that the study lists. A store that holds
        all of them, and others besides, is what was asked for.
    features : str
        Of an alignment store: identity of the features. A layer that failed has no metrics.
    made_from : mapping of str to str
        Fingerprints of what it is made from, as far as that is there.
    """

    path: str
    stage: str
    kind: str
    keys: Mapping[str, str]
    identity: str
    study: str
    metrics: Mapping[str, str] = field(default_factory=dict)
    features: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        study: Study,
        stage: str,
        keys: Mapping[str, str],
        *,
        path: str | None = None,
        made_from: Mapping[str, str] | None = None,
    ) -> StoreRequest:
        """Ask for a file.

        Parameters
        ----------
        study : Study
        stage : str
            That writes it.
        keys : mapping of str to str
            What it is of.
        path : str, optional
            Of a stage that writes several files.
        made_from : mapping of str to str, optional
            See `Sources`.
        """
        named = {key: value for key, value in keys.items() if key != "subject"}
        where = path or next(name for name, _ in study.graph.files(stage, keys))
        kind = _KINDS.get(stage, stage)
        own = dict(keys)
        if stage in ("measure", "family"):
            kind = Path(where).parent.name.partition("-")[2] or "measurements"
        if stage == "correlate":
            kind = Path(where).stem
        if where.endswith((".parquet", ".tsv", "about.json")) or stage in ("cube", "maps"):
            own["study"] = study.name
        fit = stage == "fit"
        return cls(
            where,
            stage,
            kind,
            own,
            study.identity(stage, **named),
            study.file,
            study.metric_identities(**named) if fit else {},
            study.identity("extract", **named) if fit else "",
            dict(made_from or {}),
        )

    @classmethod
    def alignments(
        cls, study: Study, keys: Mapping[str, str], subjects: Sequence[str], sources: Sources
    ) -> list[StoreRequest]:
        """Ask for the alignment of one layer for several subjects."""
        first = cls.of(study, "fit", {**keys, "subject": subjects[0]})
        return [first.for_subject(study, subject, sources) for subject in subjects]

    def for_subject(self, study: Study, subject: str, sources: Sources) -> StoreRequest:
        """The alignment of the same layer for another subject."""
        return replace(
            self,
            path=study.paths.alignment(*_layer(self.keys), subject),
            keys={**self.keys, "subject": subject},
            made_from=sources.alignment(self.keys, subject),
        )

    def absolute(self) -> StoreRequest:
        """The same for workers on other machines, which start in other folders."""
        return replace(self, path=str(Path(self.path).absolute()))

    @property
    def where(self) -> str:
        """What it is and where, for messages."""
        named = {key.replace("dataset", "data set"): value for key, value in self.keys.items()}
        named.pop("study", None)
        of = " of " + ", ".join(f"{key} '{value}'" for key, value in named.items()) if named else ""
        return f"{self.kind}{of} ({self.path})"

    @property
    def command(self) -> str:
        """The command that makes it anew."""
        words = ["convergent", self.stage, "--study", self.study]
        for key, value in self.keys.items():
            words += [] if key == "study" else [f"--{key}", value]
        return shlex.join(words)

    @property
    def attrs(self) -> dict[str, Any]:
        """What the file must say of itself."""
        made = {"made_from": dict(self.made_from)} if self.made_from else {}
        return {"kind": self.kind, **self.keys, "identity": self.identity, **made}

    def metric_identity(self, metric: str) -> str:
        """Identity of a metric as its store has it: that of ``unique`` names its baselines."""
        more = [self.made_from.get("nuisance", "")] if metric == "unique" else []
        return " ".join(filter(None, [self.metrics[metric], *more]))

    def difference(self, said: Mapping[str, Any]) -> Difference | None:
        """Compare with what a file says of itself; None if it is what was asked for."""
        other = self._other_kind(said)
        if other is not None:
            return Difference("settings", other)
        if said.get("identity") != self.identity and not self._holds_metrics(said):
            return Difference("settings", "it was computed with other settings than the study's")
        changed = self._other_sources(said)
        if changed:
            what = f"it was made from other {' and '.join(changed)} than those there now"
            # a family's table is made from tables of which it knows the settings
            return Difference("settings" if self.stage == "family" else "inputs", what)
        return None

    def same_inputs(self, said: Mapping[str, Any]) -> bool:
        """Whether a file is of the same and made from the same, whatever its settings."""
        changed = set(self._other_sources(said)) - {"nuisance"}  # that of one metric alone
        return self._other_kind(said) is None and not changed

    def _other_kind(self, said: Mapping[str, Any]) -> str | None:
        if said.get("kind") != self.kind:
            return f"it holds {said.get('kind')!r}, not {self.kind!r}"
        for key in _KEYS:
            asked, other = self.keys.get(key), said.get(key)
            if asked != other:
                named = key.replace("dataset", "data set")
                return f"it is of {named} {other!r}, not {asked!r}"
        return None

    def _other_sources(self, said: Mapping[str, Any]) -> list[str]:
        sources = _sources(said)
        return [name for name, one in self.made_from.items() if sources.get(name) != one]

    def check(self, said: Mapping[str, Any], *, settings: bool = True) -> None:
        """Refuse a file that is not what was asked for.

        Parameters
        ----------
        said : mapping
            What the file says of itself.
        settings : bool
            Whether settings and sources count, too.

        Raises
        ------
        StoreError
        """
        found = self.difference(said)
        what = self._other_kind(said) if not settings else found.what if found else None
        if what is not None:
            fix = f"delete it and run `{self.command}`"
            raise StoreError(what, where=self.where, fix=fix)

    def _holds_metrics(self, said: Mapping[str, Any]) -> bool:
        if not self.metrics:
            return False
        if said.get("status") != "ok":
            # of a layer that failed there is nothing to compute, whatever the metrics
            return bool(said.get("features_identity") == self.features)
        there = said.get("metrics") or {}
        return all(
            str(there.get(name, {}).get("identity", "")).partition(" ")[0] == wanted
            for name, wanted in self.metrics.items()
        )


class Sources:
    """Fingerprints of what stores are made from, each read once.

    Features may have been deleted when their fits were complete: what is not there is left out.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._known: dict[str, str] = {}

    def fingerprint(self, path: str) -> str:
        """Fingerprint of a store.

        Raises
        ------
        StoreError
            Missing or damaged.
        """
        if not self._known.get(path):
            self._known[path] = fingerprint(path)
        return self._known[path]

    def features(self, keys: Mapping[str, str]) -> dict[str, str]:
        """What the features of a layer are made from: the hash of the recorded weights."""
        path = self._study.paths.weights(keys["model"], keys["checkpoint"])
        if path not in self._known:
            self._known[path] = str(attributes(path).get("sha256", ""))
        return {"weights": self._known[path]} if self._known[path] else {}

    def alignment(self, keys: Mapping[str, str], subject: str) -> dict[str, str]:
        """What the alignment of a layer is made from."""
        study, dataset = self._study, keys["dataset"]
        stores = {
            "features": study.paths.features(*_layer(keys)),
            "responses": study.paths.responses(dataset, subject),
            "stimuli": study.paths.stimuli(dataset),
        }
        found = {name: one for name, path in stores.items() if (one := self._there(path))}
        if study.config.fit.unique:
            baselines = [self._there(path) for path in study.nuisance_files(dataset)]
            if all(baselines):
                found["nuisance"] = " ".join(baselines)
        return {**found, **self.features(keys)}

    def remember(self, path: str, fingerprint: str) -> None:
        """Take a fingerprint that is known already."""
        self._known[path] = fingerprint

    def _there(self, path: str) -> str:
        """Fingerprint of a store; empty if it is missing or damaged."""
        if path not in self._known:
            try:
                self._known[path] = fingerprint(path)
            except StoreError:
                self._known[path] = ""
        return self._known[path]


def _layer(keys: Mapping[str, str]) -> tuple[str, str, str, str]:
    return keys["dataset"], keys["model"], keys["checkpoint"], keys["layer"]


def _sources(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says that it was made from."""
    found = dict(said.get("made_from") or {})
    if "weights_sha256" in said:
        found["weights"] = said["weights_sha256"]
    unique = (said.get("metrics") or {}).get("unique")
    if unique is not None:
        found["nuisance"] = str(unique.get("identity", "")).partition(" ")[2]
    return found


def attributes(path: str | Path) -> dict[str, Any]:
    """What a store or record says of itself; arrays are not read.

    Parameters
    ----------
    path : str or Path
        ``*.zarr.zip``, ``*.json``, ``*.parquet`` or ``*.tsv``.

    Returns
    -------
    dict
        Empty where the file is missing, damaged, or of a kind that says nothing.
    """
    try:
        if str(path).endswith(".zarr.zip"):
            with Archive(path) as archive:
                found = json.loads(archive.read("zarr.json"))["attributes"]
        elif str(path).endswith(".json"):
            with open_file(path) as file:
                found = json.loads(file.read())
        elif str(path).endswith(".parquet"):
            found = table_attributes(path)
        elif str(path).endswith(".tsv"):
            with open_file(path) as file:
                found = first_line(file.read(1 << 16))
        else:
            return {}
    except (StoreError, *DAMAGE, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def read_record(request: StoreRequest) -> dict[str, Any]:
    """Read a JSON record and compare it with what was asked for.

    Raises
    ------
    StoreError
        Missing or damaged, or of another model or other settings.
    """
    with named_errors(request.where, "record"), open_file(request.path) as file:
        found = json.loads(file.read())
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    request.check(found)
    return found


def table_attributes(path: str | Path) -> dict[str, Any]:
    """What a parquet file says of itself, in its key-value metadata; empty if nothing.

    Raises
    ------
    OSError, ArrowException, ValueError
        It is missing or damaged.
    """
    import pyarrow.parquet as pq

    with open_file(path) as file:
        metadata = pq.read_metadata(file).metadata or {}
    return dict(json.loads(metadata.get(TABLE_KEY.encode(), b"{}")))


def comment(attrs: Mapping[str, Any]) -> str:
    """The first line of a TSV file that says what it is; readers of tables skip it."""
    return f"# {TABLE_KEY}: {json.dumps(attrs, sort_keys=True)}\n"


def first_line(content: bytes) -> dict[str, Any]:
    """What a TSV file says of itself, in a comment in its first line; empty if nothing.

    Raises
    ------
    ValueError
        It is damaged.
    """
    line = content.partition(b"\n")[0].decode("utf-8")
    mark = f"# {TABLE_KEY}: "
    return dict(json.loads(line.removeprefix(mark))) if line.startswith(mark) else {}


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
    return StoreRequest.of(study, stage, keys, path=str(path)).difference(said) is None
