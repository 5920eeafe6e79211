"""Stimuli and responses: from a data set's own files to stores."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import asdict

import numpy as np

from convergent.brains import (
    DatasetReader,
    Nuisance,
    Responses,
    StimulusSet,
    has_option,
    open_dataset,
    refuse_story_time,
    refuse_word_rate,
    story_time,
)
from convergent.errors import IdError
from convergent.store import Sources, Store, StoreRequest, read_store, write_store
from convergent.study import Study

log = logging.getLogger(__name__)

_OPTIONAL = ("images", "onset", "offset", "group", "split", "item")
# Larger stimuli are not hashed again by every job that reads them: that would take minutes.
_HASHED_BYTES = 1 << 30
# Larger responses stay on disk, and fits read them a block of targets at a time.
_HELD_BYTES = 1 << 30


def reader_of(study: Study, dataset: str) -> DatasetReader:
    """Open the reader of one of the study's data sets."""
    return open_dataset(dataset, study.dataset(dataset))


def _with_scratch(study: Study, dataset: str) -> DatasetReader:
    """Open a reader that keeps its temporary files where the study says, unless its options do."""
    data = study.dataset(dataset)
    if data.options.get("scratch") or not has_option(data.reader, "scratch"):
        return open_dataset(dataset, data)
    scratch = study.scratch()
    options = data.options if scratch is None else {**data.options, "scratch": str(scratch)}
    return open_dataset(dataset, data.model_copy(update={"options": options}))


def write_stimuli(study: Study, dataset: str) -> None:
    """Read a data set's stimuli and write them to their store.

    Raises
    ------
    DataError
        Words of a story at a rate that is not one of words a second.
    """
    reader = reader_of(study, dataset)
    stimuli = reader.stimuli()
    refuse_word_rate(stimuli)
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "stimulus_id": (("stimulus",), stimuli.ids)
    }
    for name in _OPTIONAL:
        value = getattr(stimuli, name)
        if value is not None:
            axes = ("stimulus", "y", "x", "channel") if name == "images" else ("stimulus",)
            arrays[name] = (axes, value)
    if stimuli.texts is not None:
        arrays["texts"] = (("stimulus",), np.array(stimuli.texts, dtype=np.str_))
    request = StoreRequest.of(study, "stimuli", {"dataset": dataset})
    attrs = {
        **request.attrs,
        "modality": stimuli.modality,
        "design": stimuli.design,
        "simulated": reader.simulated,
        "stimuli_sha256": stimuli.digest,  # reads all images, so that their conversions are known
    }
    if stimuli.conversions:
        attrs["image_conversions"] = dict(sorted(stimuli.conversions.items()))
    write_store(request.path, "stimuli", arrays, attrs)
    log.info("%d stimuli of '%s'", len(stimuli), dataset)


def read_stimuli(study: Study, dataset: str) -> StimulusSet:
    """Read the stimuli store of a data set; its images stay on disk until they are asked for.

    Raises
    ------
    StoreError
        Missing, damaged, of another data set or of other settings.
    IdError
        The contents are not those whose digest the store carries.
    """
    request = StoreRequest.of(study, "stimuli", {"dataset": dataset})
    store = read_store(request, lazy=("images",))
    texts, images = store.arrays.get("texts"), store.arrays.get("images")
    large = images is not None and images.nbytes > _HASHED_BYTES
    stimuli = StimulusSet(
        name=dataset,
        modality=store.attrs["modality"],
        design=store.attrs["design"],
        ids=store["stimulus_id"],
        texts=None if texts is None else tuple(str(text) for text in texts),
        **{name: store.arrays.get(name) for name in _OPTIONAL},
        known_digest=store.attrs["stimuli_sha256"] if large else "",
        conversions=store.attrs.get("image_conversions", {}),
    )
    if stimuli.digest != store.attrs["stimuli_sha256"]:
        raise IdError(
            "the stimuli are not those that were stored",
            where=request.path,
            fix="delete it and rerun",
        )
    return stimuli


def write_responses(study: Study, dataset: str, subject: str) -> None:
    """Read one subject's responses, check them, and write them to their store.

    Raises
    ------
    NumericalError
        A response is NaN or infinite.
    IdError
        A response to a stimulus that the data set does not have.
    DataError
        Words and volumes of a story that cannot belong together in time.
    """
    reader = _with_scratch(study, dataset)
    responses = reader.responses(subject)
    where = f"data set '{dataset}', subject '{subject}'"
    stimuli = read_stimuli(study, dataset)
    if responses.stimulus_id is not None:
        unknown = sorted(set(responses.stimulus_id.tolist()) - set(stimuli.answered.tolist()))
        if unknown:
            raise IdError(
                f"{len(unknown)} responses to unknown stimuli: {', '.join(unknown[:3])}",
                where=where,
                fix="responses and stimuli must come from one experiment",
            )
    refuse_story_time(story_time(stimuli, responses, study.config.fit.delays), where)
    regions = {region.name: region for region in reader.regions()}
    names = list(dict.fromkeys(responses.region.tolist()))
    described = [regions[name] for name in names]
    sample = "volume" if responses.design == "story" else "stimulus"
    values = responses.data
    if isinstance(values, np.ndarray):
        values = np.asarray(values, dtype=np.float32)
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "responses": ((sample, "target"), values),
        "target_region": (("target",), responses.region),
        "noise_ceiling": (("target",), np.asarray(responses.noise_ceiling, dtype=np.float64)),
        "region": (("region",), np.array(names, dtype=np.str_)),
        "hemisphere": (("region",), np.array([r.hemisphere for r in described], dtype=np.str_)),
        "network": (("region",), np.array([r.network for r in described], dtype=np.str_)),
        "axis_position": (("region",), np.array([r.order for r in described], dtype=np.float64)),
    }
    for name in ("stimulus_id", "sample_id"):
        ids = getattr(responses, name)
        if ids is not None:
            arrays[name] = (("stimulus",), ids)
    if responses.nuisance is not None:
        arrays["nuisance"] = ((sample, "regressor"), responses.nuisance.values)
        arrays["nuisance_name"] = (("regressor",), responses.nuisance.name)
        arrays["nuisance_delayed"] = (("regressor",), responses.nuisance.delayed)
    request = StoreRequest.of(study, "responses", {"dataset": dataset, "subject": subject})
    attrs = {
        **request.attrs,
        "design": responses.design,
        "holds": responses.kind,
        "tr": responses.tr,
        "start": responses.start,
        "simulated": reader.simulated,
        "stimuli_sha256": stimuli.digest,
        "source": responses.attrs,
    }
    write_store(request.path, "responses", arrays, attrs)
    log.info("%s: %d samples x %d targets", where, *responses.data.shape)


def read_responses(study: Study, dataset: str, subject: str) -> tuple[Responses, Store]:
    """Read a subject's responses store; large responses stay on disk.

    Raises
    ------
    StoreError
        Missing, damaged, of another subject or data set, or of other settings.
    """
    request = StoreRequest.of(study, "responses", {"dataset": dataset, "subject": subject})
    store = read_store(request, lazy=("responses",))
    if store["responses"].nbytes <= _HELD_BYTES:
        store.arrays["responses"] = store["responses"][:]
    responses = Responses(
        dataset=dataset,
        subject=subject,
        design=store.attrs["design"],
        data=store["responses"],
        region=store["target_region"],
        noise_ceiling=store["noise_ceiling"],
        stimulus_id=store.arrays.get("stimulus_id"),
        tr=store.attrs["tr"],
        start=store.attrs["start"],
        kind=store.attrs["holds"],
        nuisance=_nuisance(store),
        sample_id=store.arrays.get("sample_id"),
    )
    return responses, store


def read_features(
    study: Study,
    sources: Sources,
    dataset: str,
    model: str,
    checkpoint: str,
    layer: str,
    *,
    lazy: Collection[str] = (),
) -> Store:
    """Read the features of a layer.

    Raises
    ------
    StoreError
        Missing, damaged, of another layer, or of other settings or weights.
    """
    keys = {"dataset": dataset, "model": model, "checkpoint": checkpoint, "layer": layer}
    request = StoreRequest.of(study, "extract", keys, made_from=sources.features(keys))
    return read_store(request, lazy=lazy)


def _nuisance(store: Store) -> Nuisance | None:
    if "nuisance" not in store.arrays:
        return None
    return Nuisance(store["nuisance"], store["nuisance_name"], store["nuisance_delayed"])


def region_table(store: Store) -> list[dict[str, object]]:
    """Describe the regions of a responses store, one row a region."""
    columns = ("region", "hemisphere", "network", "axis_position")
    values = [store[name].tolist() for name in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def truth_rows(reader: DatasetReader) -> list[dict[str, object]]:
    """Planted truth of a simulated data set, one row per region; empty where none is known."""
    truth = getattr(reader, "truth", tuple)
    return [asdict(row) for row in truth()] if reader.simulated else []
