"""Training of small models, so that a study can follow its own checkpoints.

Importing this package imports no deep-learning library; training does.
"""

from convergent.training._recipe import Recipe, Run, TrainingOptions, recipe
from convergent.training._train import recipe_options, train

__all__ = ["Recipe", "Run", "TrainingOptions", "recipe", "recipe_options", "train"]
