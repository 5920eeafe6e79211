"""Where each file of a study lives.

Every function takes plain strings, so that the workflow can pass wildcards
(``paths.features("{dataset}", "{model}", "{checkpoint}", "{layer}")``) and the
command line real keys, and both mean the same file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paths:
    """File names of one study.

    Parameters
    ----------
    root : str
        ``results/<study>``.
    """

    root: str

    def stimuli(self, dataset: str) -> str:
        """Stimuli of a data set."""
        return f"{self.root}/stimuli/{dataset}.zarr.zip"

    def responses(self, dataset: str, subject: str) -> str:
        """Brain responses of one subject."""
        return f"{self.root}/responses/{dataset}/{subject}.zarr.zip"

    def trained(self, model: str) -> str:
        """Training record of a model that the workflow trains; its checkpoints lie beside it."""
        return f"{self.root}/trained/{model}.json"

    def trained_directory(self, model: str, checkpoint: str) -> str:
        """Directory of a checkpoint that the workflow trains."""
        return f"{self.root}/trained/{model}/{checkpoint}"

    def weights(self, model: str, checkpoint: str) -> str:
        """Where the weights of a checkpoint are, and their hash."""
        return f"{self.root}/weights/{model}/{checkpoint}.json"

    def features(self, dataset: str, model: str, checkpoint: str, layer: str) -> str:
        """Activations of one layer for all stimuli of a data set."""
        return f"{self.root}/features/{dataset}/{model}/{checkpoint}/{layer}.zarr.zip"

    def alignment(self, dataset: str, model: str, checkpoint: str, layer: str, subject: str) -> str:
        """Encoding-model scores of one layer for one subject."""
        return f"{self.root}/alignment/{dataset}/{model}/{checkpoint}/{layer}/{subject}.zarr.zip"

    def ceilings(self, dataset: str) -> str:
        """Noise ceilings of similarity metrics, from the subjects of a data set."""
        return f"{self.root}/ceilings/{dataset}.parquet"

    @property
    def representations(self) -> str:
        """Similarity of representations of two modalities, layer by layer."""
        return f"{self.root}/representations.parquet"

    def performance(self, model: str) -> str:
        """Performance of a model's checkpoints, measured by the workflow."""
        return f"{self.root}/performance/{model}.tsv"

    def model(self, model: str, table: str = "measurements") -> str:
        """One model's measurements, alignment (layers chosen) or coverage."""
        return f"{self.root}/models{_suffix(table)}/{model}.parquet"

    def family(self, family: str, table: str = "measurements") -> str:
        """One family's part of the study's measurements, alignment or coverage."""
        return f"{self.root}/families{_suffix(table)}/{family}.parquet"

    def table(self, name: str) -> str:
        """A study-wide table: performance, correlations, coverage, ...

        Measurements and alignment have none: they are the families' files.
        """
        return f"{self.root}/study/{name}.parquet"

    @property
    def about(self) -> str:
        """What the study-wide tables were made from: configuration, families, versions."""
        return f"{self.root}/study/about.json"

    def cube(self, dataset: str) -> str:
        """The measurements of a data set as a labelled array."""
        return f"{self.root}/study/cube/{dataset}.zarr.zip"

    def maps(self, dataset: str) -> str:
        """Alignment of each target of a data set's subjects, over models."""
        return f"{self.root}/study/maps/{dataset}.zarr.zip"

    @property
    def figures(self) -> str:
        """Directory of the report's figures, each with its data."""
        return f"{self.root}/figures"

    def log(self, stage: str, *parts: str) -> str:
        """Log of one job."""
        return "/".join((self.root, "logs", stage, *parts)) + ".log"

    @property
    def worker_logs(self) -> str:
        """Directory of what dask's workers print."""
        return f"{self.root}/logs/workers"

    @property
    def report(self) -> str:
        """The self-contained report."""
        return f"{self.root}/report.html"


def _suffix(table: str) -> str:
    # the measurements are the main product: a folder of them has nothing else in it
    return "" if table == "measurements" else f"-{table}"
