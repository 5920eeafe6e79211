import numpy as np
import pytest

from convergent.brains.types import StimulusSet
from convergent.errors import ModelError, UnknownKeyError
from convergent.models import LoadedBaseline, Options, load
from convergent.models import baseline as baseline_of
from convergent.registry import BASELINES


def baseline(make_model, name, modality, **options):
    model = make_model(
        source="baseline",
        reference=name,
        modality=modality,
        preprocessing={key: str(value) for key, value in options.items()},
    )
    loaded = load(model, model.checkpoints[0], None)
    assert isinstance(loaded, LoadedBaseline)
    return loaded.compute


def images(*arrays):
    ids = np.array([f"i{index}" for index in range(len(arrays))])
    return StimulusSet("d", "vision", "items", ids, images=np.stack(arrays))


def texts(lines, design="items", **more):
    ids = np.array([f"t{index}" for index in range(len(lines))])
    return StimulusSet("d", "language", design, ids, texts=tuple(lines), **more)


def grating(cycles, angle, side="whole", size=64):
    y, x = np.mgrid[:size, :size] / size
    wave = np.sin(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)))
    wave = wave * (x >= 0.5) if side == "right" else wave
    return np.repeat((127.5 + 100 * wave).astype(np.uint8)[..., None], 3, axis=2)


def test_gabor_energies_find_orientation_and_scale(make_model):
    compute = baseline(make_model, "gabor", "vision", orientations=4, scales=3, grid=2)
    angles = np.pi * np.arange(4) / 4
    cycles = [16, 8, 4]  # of 64 pixels: a quarter, an eighth, a sixteenth
    stimuli = images(*(grating(c, a) for c in cycles for a in angles))
    energy = compute(stimuli).reshape(12, 12, 4).mean(axis=2)
    assert np.array_equal(energy.argmax(axis=1), np.arange(12))


def test_gabor_energies_find_position(make_model):
    compute = baseline(make_model, "gabor", "vision", orientations=1, scales=1, grid=2)
    cells = compute(images(grating(16, 0.0, "right"))).reshape(2, 2)
    assert cells[:, 1].min() > 5 * cells[:, 0].max()


def test_gabor_energies_ignore_brightness(make_model):
    compute = baseline(make_model, "gabor", "vision")
    dark, bright = np.full((40, 40, 3), 20, np.uint8), np.full((40, 40, 3), 220, np.uint8)
    result = compute(images(dark, bright))
    assert result.shape == (2, 8 * 4 * 16) and np.abs(result).max() < 1e-6


def test_pixels_are_the_small_image(make_model):
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, 4:, 0] = 255
    result = baseline(make_model, "pixels", "vision", size=2)(images(image)).reshape(2, 2, 3)
    assert result[0, 1].tolist() == [1, 0, 0] and result.sum() == 1


def test_text_length_counts(make_model):
    result = baseline(make_model, "text-length", "language")(texts(["ab cd e", ""]))
    np.testing.assert_allclose(result, [[7, 3, 5 / 3], [0, 0, 0]], rtol=1e-6)


def test_story_baselines_give_one_row_a_word(make_model):
    story = texts(["the", "rabbit", "ran"], "story", onset=np.array([1.0, 2.0, 5.0]))
    assert baseline(make_model, "word-rate", "language")(story).tolist() == [[1], [1], [1]]
    assert baseline(make_model, "word-length", "language")(story).tolist() == [[3], [6], [3]]
    position = baseline(make_model, "position", "language", degree=2)(story)
    np.testing.assert_allclose(position, [[-1, 1], [-0.5, -0.125], [1, 1]])


def test_character_ngrams_count_each_once(make_model):
    compute = baseline(make_model, "character-ngrams", "language", features=64)
    result = compute(texts(["cat", "Cat", "dog"]))
    assert result.shape == (3, 64) and result.sum(axis=1).tolist() == [3, 3, 3]
    assert np.array_equal(result[0], result[1]) and not np.array_equal(result[0], result[2])


def test_wrong_use_is_refused(make_model):
    with pytest.raises(UnknownKeyError, match="did you mean 'gabor'"):
        baseline(make_model, "gabors", "vision")
    with pytest.raises(ModelError, match="is for vision"):
        baseline(make_model, "gabor", "language")
    with pytest.raises(ModelError, match="unknown option 'grid'"):
        baseline(make_model, "pixels", "vision", grid=2)
    with pytest.raises(ModelError, match="is for story"):
        baseline(make_model, "word-rate", "language")(texts(["a sentence"]))
    model = make_model(source="baseline", reference="pixels")
    with pytest.raises(ModelError, match="no weights to draw at random"):
        load(model, model.checkpoints[1], None)


def test_the_baseline_of_the_guide_works_as_it_is_written(make_model, repository, registries):
    guide = (repository / "CONTRIBUTING.md").read_text()
    code = guide.split("A baseline, whole:\n\n```python\n")[1].split("```")[0]
    names = {"baseline": baseline_of, "np": np, "StimulusSet": StimulusSet, "Options": Options}
    exec(code, names)
    BASELINES.register("mean-colour")(names["mean_colour"])
    blue = np.zeros((4, 4, 3), np.uint8)
    blue[..., 2] = 9
    compute = baseline(make_model, "mean-colour", "vision")
    np.testing.assert_array_equal(compute(images(blue * 0, blue)), [[0, 0, 0], [0, 0, 9]])
