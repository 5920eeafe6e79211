"""Labelled images: classifiers and dual encoders whose answers are known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from convergent.errors import ConfigError, DataError
from convergent.evaluation import Material, check_evaluations, evaluate
from convergent.models import load, make_manifest
from convergent.study import Checkpoint, Layer, Model

FINAL = Checkpoint("final", "trained", None, "", "", None, True)


def row(source, place, **columns):
    values = {
        "key": "small", "family": "small", "modality": "vision", "source": source,
        "reference": f"path:{place}", "revision": "", "architecture": "", "parameters": 1,
        "layers": (Layer("x", 0, 0.0, 1),), "layout": "channels_first",
        "pooling": "spatial_mean", "precision": "float32",
        "preprocessing": {"size": "32", "mean": "0.5", "std": "0.5", "crop": "1"},
        "attention": "", "tags": (), "checkpoints": (FINAL,),
    }  # fmt: skip
    return Model(**{**values, **columns})


def opener(model):
    manifest = make_manifest(model, FINAL)
    return lambda head: load(model, FINAL, manifest, head=head)


def digits(number):
    """Handwritten digits, each of another size."""
    images = []
    for index, digit in enumerate(load_digits().images[:number]):
        grey = Image.fromarray((digit * 15.9).astype(np.uint8)).resize((40 + index % 5, 44))
        images.append(np.asarray(grey.convert("RGB")))
    return images


def write_images(place, images, labels):
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = place / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index:04d}.png")
    return place


def write_classes(path, rows):
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, delimiter="\t")
        writer.writerow(("folder", "index", "name"))
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A random network, pictures, and the classes that it gives them by timm's own way."""
    from timm.data import create_transform

    place = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=12).eval()
    torch.nn.init.normal_(network.fc.weight)
    save_file(network.state_dict(), place / "model.safetensors")
    config = {"architecture": "resnet10t", "num_classes": 12, "pretrained_cfg": {}}
    (place / "config.json").write_text(json.dumps(config))
    images = digits(30)
    half = (0.5, 0.5, 0.5)
    transform = create_transform((3, 32, 32), crop_pct=1.0, interpolation="bicubic", mean=half,
                                 std=half)  # fmt: skip
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
        answers = network(pixels).argmax(dim=1).numpy()
    assert len(set(answers)) > 1
    return row("timm", place), images, answers


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_top1_is_the_share_of_images_in_the_folder_of_their_answer(batch, classifier, tmp_path):
    model, images, answers = classifier
    wrong = [int(answer) if index >= 6 else int(answer + 1) % 12 for index, answer in
             enumerate(answers)]  # fmt: skip
    folder = write_images(tmp_path / "images", images, [f"n{label:02d}" for label in wrong])
    classes = [(f"n{index:02d}", index, f"class {index}") for index in range(12)]
    table = write_classes(tmp_path / "classes.tsv", classes[::-1])
    (score,) = evaluate(
        ["top1", "zero_shot_top1"], model, FINAL, open_network=opener(model), batch_size=batch,
        material=Material(images=folder, classes=table),
    )  # fmt: skip
    assert (score.benchmark, score.score) == ("top1", 24 / 30)
    assert score.source.startswith("measured: 30 images of ")
    assert str(tmp_path) not in score.source


def test_folders_without_a_table_must_be_all_classes_in_order(classifier, tmp_path):
    model, images, answers = classifier
    folder = write_images(tmp_path / "images", images, [f"{a:02d}" for a in answers])
    with pytest.raises(DataError, match=r"folders of images, 12 classes.*performance\.classes"):
        evaluate(["top1"], model, FINAL, open_network=opener(model),
                 material=Material(images=folder))  # fmt: skip
    for label in range(12):
        write_images(folder, images[:1], [f"{label:02d}"])  # each class has this image
    (score,) = evaluate(["top1"], model, FINAL, open_network=opener(model),
                        material=Material(images=folder))  # fmt: skip
    files = sum(1 for _ in folder.rglob("*.png"))
    assert score.score == pytest.approx(30 / files)


def test_mistakes_in_folders_and_tables_are_named(classifier, tmp_path):
    model, images, _ = classifier
    folder = write_images(tmp_path / "images", images[:3], ["a", "b", "c"])

    def top1(rows):
        table = write_classes(tmp_path / "classes.tsv", rows)
        return evaluate(["top1"], model, FINAL, open_network=opener(model),
                        material=Material(images=folder, classes=table))  # fmt: skip

    with pytest.raises(DataError, match="folder 'c' is not in"):
        top1([("a", 0, "a"), ("b", 1, "b")])
    with pytest.raises(DataError, match="class 12 of the table, but the model has 12"):
        top1([("a", 0, "a"), ("b", 1, "b"), ("c", 12, "c")])
    with pytest.raises(DataError, match="index '1' occurs twice"):
        top1([("a", 1, "a"), ("b", 1, "b"), ("c", 2, "c")])
    (folder / "a" / "0000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0000\.png: this is no picture"):
        top1([("a", 0, "a"), ("b", 1, "b"), ("c", 2, "c")])
    (folder / "a" / "0000.png").unlink()
    with pytest.raises(DataError, match="no image in class 'a'"):
        top1([("a", 0, "a"), ("b", 1, "b"), ("c", 2, "c")])


def test_what_evaluations_need_is_checked_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match="'top1' needs labelled images"):
        check_evaluations(["bits_per_byte", "top1"], Material())
    with pytest.raises(DataError, match="no such folder of images"):
        check_evaluations(["top1"], Material(images=tmp_path / "none"))
    with pytest.raises(DataError, match="none.txt: there is no such file"):
        check_evaluations(["bits_per_byte"], Material(text=tmp_path / "none.txt"))
    check_evaluations(["bits_per_byte", "probe_top1"], Material())


@pytest.fixture(scope="module")
def open_clip_model(tmp_path_factory):
    from open_clip.model import CLIP

    place = tmp_path_factory.mktemp("clip")
    settings = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2,
                     "layers": 2},
    }  # fmt: skip
    torch.manual_seed(0)
    network = CLIP(**settings).eval()
    save_file(network.state_dict(), place / "open_clip_model.safetensors")
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
    return row("open_clip", place), network


@pytest.fixture(scope="module")
def transformers_clip(tmp_path_factory):
    import transformers

    from small_weights import add_tokenizer

    place = tmp_path_factory.mktemp("clip")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 48}  # fmt: skip
    config = transformers.CLIPConfig(
        projection_dim=16,
        text_config={**sizes, "vocab_size": 99, "eos_token_id": 3, "bos_token_id": 2,
                     "max_position_embeddings": 16},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.CLIPModel(config).eval()
    network.save_pretrained(place)
    add_tokenizer(place)
    return row("transformers", place), network


@pytest.mark.parametrize("kind", ["open_clip_model", "transformers_clip"])
def test_zero_shot_takes_the_class_whose_text_is_closest(kind, request, tmp_path):
    """Class texts are arranged to lie where the images do; two of them are exchanged."""
    model, _ = request.getfixturevalue(kind)
    images = digits(8)
    names = [f"digit {index}" for index in range(8)]
    labels = [f"c{index}" for index in range(8)]
    folder = write_images(tmp_path / "images", images, labels)
    order = [1, 0, *range(2, 8)]
    table = write_classes(
        tmp_path / "classes.tsv",
        [(labels[index], index, names[order[index]]) for index in range(8)],
    )
    open_network = opener(model)
    loaded = open_network(False)
    features = torch.cat(
        [loaded.forward(_batch(loaded, image)) for image in images]
        if kind == "open_clip_model"
        else [loaded.forward(_batch(loaded, image)).pooler_output for image in images]
    )

    def arranged(texts):
        found = [int(text.split("digit ")[1].rstrip(".")) for text in texts]
        # templates differ in length only, which must not matter
        return torch.stack([features[i] * (3 + len(t)) for i, t in zip(found, texts, strict=True)])

    material = Material(
        images=folder, classes=table, templates=("a {}.", "a drawing of a {}."),
    )  # fmt: skip
    (score,) = evaluate(
        ["top1", "zero_shot_top1"], model, FINAL, batch_size=3, material=material,
        open_network=lambda head: replace(loaded, embed_texts=arranged),
    )  # fmt: skip
    assert (score.benchmark, score.score) == ("zero_shot_top1", 6 / 8)
    assert "8 images of 8 classes in images, 2 template(s), float32" in score.source


def _batch(loaded, image):
    return loaded.prepare(image[None])


def test_texts_of_open_clip_are_embedded_as_by_open_clip(open_clip_model):
    import open_clip

    model, network = open_clip_model
    texts = ["a photo of a cat.", "seven"]
    tokens = open_clip.SimpleTokenizer(context_length=16)(texts)
    with torch.inference_mode():
        expected = network.encode_text(tokens)
    torch.testing.assert_close(opener(model)(False).embed_texts(texts), expected)


def test_texts_of_transformers_are_embedded_as_by_transformers(transformers_clip):
    import transformers

    model, network = transformers_clip
    texts = ["cat mat", "sat cat mat cat"]
    place = model.reference.removeprefix("path:")
    coded = transformers.AutoTokenizer.from_pretrained(place)(
        texts, padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = network.get_text_features(**coded).pooler_output
    torch.testing.assert_close(opener(model)(False).embed_texts(texts), expected)


def test_image_models_without_texts_are_left_out(tmp_path):
    import transformers

    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                    intermediate_size=32, image_size=32, patch_size=8)  # fmt: skip
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    folder = write_images(tmp_path / "images", digits(2), ["a", "b"])
    model = row("transformers", tmp_path / "vit")
    scores = evaluate(["top1", "zero_shot_top1"], model, FINAL, open_network=opener(model),
                      material=Material(images=folder))  # fmt: skip
    assert scores == []
