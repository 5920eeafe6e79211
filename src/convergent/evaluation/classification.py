"""Evaluations on labelled images: a classifier's own outputs, or names of classes as texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convergent.errors import ConfigError, DataError
from convergent.evaluation.evaluate import ImageFolder, Needs, Subject, evaluation, image_folder
from convergent.models import Batch, LoadedModel
from convergent.study.types import Model

if TYPE_CHECKING:
    import torch


_TEXTS = 256  # encoded at once


def is_classifier(model: Model) -> bool:
    """Whether a model's own outputs are classes."""
    return (
        model.modality == "vision"
        and model.source == "timm"
        and "num_classes" not in model.preprocessing
    )


def may_read_class_names(model: Model) -> bool:
    """Whether a model may have a text tower beside its image tower."""
    return model.modality == "vision" and model.source in ("open_clip", "transformers")


@evaluation(is_classifier, needs=Needs(images=True))
def top1(subject: Subject) -> tuple[float, str]:
    """Share of images whose class has the largest of all the classifier's outputs."""
    images = _images(subject)
    loaded = subject.network()
    correct = 0
    for labels, logits in _outputs(subject, loaded, images):
        _check_outputs(subject, images, logits.shape[1])
        truth = np.array(images.outputs)[labels]
        correct += int((logits.argmax(dim=1).cpu().numpy() == truth).sum())
    return correct / len(images.files), _source(subject, images, "")


@evaluation(may_read_class_names, needs=Needs(images=True))
def zero_shot_top1(subject: Subject) -> tuple[float, str] | None:
    """Share of images that are closest, by cosine, to the mean text of their class.

    References
    ----------
    Radford et al. (2021), Learning transferable visual models from natural language
    supervision, section 3.1.4: the mean of the normalised embeddings of all templates,
    normalised again, stands for a class.
    """
    loaded = subject.network()
    if loaded.embed_texts is None:
        return None
    images = _images(subject)
    templates = subject.material.templates
    classes = _class_embeddings(loaded, images.names, templates)
    correct = 0
    for labels, output in _outputs(subject, loaded, images):
        nearest = (_unit(output) @ classes.T).argmax(dim=1)
        correct += int((nearest.cpu().numpy() == labels).sum())
    how = f", {len(templates)} template(s)"
    return correct / len(images.files), _source(subject, images, how)


def _class_embeddings(
    loaded: LoadedModel, names: Sequence[str], templates: Sequence[str]
) -> torch.Tensor:
    """One direction a class, (class, feature)."""
    import torch

    assert loaded.embed_texts is not None
    texts = [template.format(name) for name in names for template in templates]
    found = [
        _unit(loaded.embed_texts(texts[first : first + _TEXTS]))
        for first in range(0, len(texts), _TEXTS)
    ]
    return _unit(torch.cat(found).view(len(names), len(templates), -1).mean(dim=1))


def _unit(values: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    return functional.normalize(values.float(), dim=-1)


def _outputs(
    subject: Subject, loaded: LoadedModel, images: ImageFolder
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """Labels of each batch, and what the network gives for its images, (image, feature)."""
    import torch

    assert loaded.images is not None
    dtype = getattr(torch, loaded.dtype)
    for labels, pictures in images.batches(subject.batch_size):
        # images of several sizes: each is brought to the model's own
        pixels = torch.cat([loaded.images(picture[None]) for picture in pictures]).to(dtype)
        output = loaded.forward(Batch({"pixels": pixels}, len(labels)).to(loaded.device))
        output = getattr(output, "pooler_output", output)
        if not isinstance(output, torch.Tensor) or output.ndim != 2:
            raise DataError(
                f"the network gives {type(output).__name__}, not one vector an image",
                where=subject.where,
                fix="leave this evaluation out for the model",
            )
        yield labels, output


def _images(subject: Subject) -> ImageFolder:
    if subject.material.images is None:
        raise ConfigError(
            "no folder of labelled images",
            where=subject.where,
            fix="set performance.images, or leave this evaluation out",
        )
    return image_folder(subject.material.images, subject.material.classes)


def _check_outputs(subject: Subject, images: ImageFolder, outputs: int) -> None:
    if not images.listed and len(images.folders) != outputs:
        raise DataError(
            f"{len(images.folders)} folders of images, {outputs} classes of the model",
            where=subject.where,
            fix="say which folder is which class: performance.classes, a table with the columns "
            "folder, index and name",
        )
    if max(images.outputs) >= outputs or min(images.outputs) < 0:
        raise DataError(
            f"class {max(images.outputs)} of the table, but the model has {outputs} classes",
            where=subject.where,
            fix="correct the index column of performance.classes",
        )


def _source(subject: Subject, images: ImageFolder, how: str) -> str:
    assert subject.material.images is not None
    return (
        f"measured: {len(images.files)} images of {len(images.folders)} classes in "
        f"{subject.material.images.name}{how}, {subject.network().dtype}"
    )
