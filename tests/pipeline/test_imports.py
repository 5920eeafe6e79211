"""A fit's process, of which there are as many as fits, loads what it needs and no more."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "transformers", "timm", "open_clip", "polars", "pyarrow", "sklearn", "scipy", "pandas",
    "matplotlib", "plotly", "nilearn", "nibabel", "zarr", "xarray", "dask", "duckdb", "torchvision",
    "rich", "snakemake", "huggingface_hub", "statsmodels", "himalaya", "h5py",
}  # fmt: skip
SCRIPT = """
import sys
sys.argv = ["convergent", *sys.argv[1:]]
from convergent.cli import app
try:
    app()
except SystemExit as end:
    assert not end.code
print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def loaded(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments, "--study", "study.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


def test_a_fit_imports_torch_and_no_other_large_library(workflow):
    workflow.write()
    layer = ("scenes", "tiny-vit", "final", "layers.1")
    folder = workflow.folder / "results/small/alignment" / "/".join(layer)
    for path in folder.iterdir():
        path.unlink()  # so that it is computed
    names = ("--dataset", "--model", "--checkpoint", "--layer")
    found = loaded(workflow.folder, "fit", *(x for pair in zip(names, layer) for x in pair))  # noqa: B905
    assert len(list(folder.glob("sim*.zarr.zip"))) == 2
    assert "torch" in found
    assert not found & HEAVY


def test_tables_are_made_without_torch(workflow):
    workflow.write()
    found = loaded(workflow.folder, "measure", "--model", "tiny-vit")
    assert "polars" in found and "dask" in found
    assert not found & {"torch", "transformers", "timm", "scipy", "matplotlib", "nilearn", "xarray"}
