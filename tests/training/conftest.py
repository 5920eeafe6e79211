"""Small models to train."""

from __future__ import annotations

import pytest

from convergent.study import Checkpoint, Layer, Model


@pytest.fixture
def small_model():
    """Return a maker of rows with two checkpoints."""

    def make(recipe: str, layers: dict[str, int], steps: dict[str, int | None]) -> Model:
        vision = recipe.startswith("scenes")
        names = list(layers)
        return Model(
            key="small",
            family="small",
            modality="vision" if vision else "language",
            source="timm" if vision else "transformers",
            reference=f"trained:{recipe}",
            revision="",
            architecture="",
            parameters=1,
            layers=tuple(
                Layer(name, index, index / max(1, len(names) - 1), layers[name])
                for index, name in enumerate(names)
            ),
            layout="channels_first" if recipe == "scenes-cnn" else "tokens",
            pooling="spatial_mean" if recipe == "scenes-cnn" else "mean",
            precision="float32",
            preprocessing={"size": "48", "crop": "1"} if vision else {"skip_first_token": "yes"},
            attention="" if vision else "causal",
            tags=(),
            checkpoints=tuple(
                Checkpoint(name, "trained", step, f"trained:{recipe}", "", None, name == "final")
                for name, step in steps.items()
            ),
        )

    return make
