"""Training of small models, so that a study can follow its own checkpoints.

Importing this package imports no deep-learning library; training does.
"""

from convergent.training.recipe import Recipe, Run, TrainingOptions, recipe
from convergent.training.train import recipe_options, train

__all__ = ["Recipe", "Run", "TrainingOptions", "recipe", "recipe_options", "train"]
