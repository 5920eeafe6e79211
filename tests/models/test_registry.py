import subprocess
import sys

import pytest

from convergent.errors import ModelError, UnknownKeyError
from convergent.models import (
    baseline_names,
    register_baseline,
    register_source,
    source,
    source_names,
)


def test_sources_and_baselines_are_there():
    assert {"timm", "transformers", "open_clip", "baseline"} <= set(source_names())
    assert {"pixels", "gabor", "text-length", "word-rate", "word-length", "position"} <= set(
        baseline_names()
    )


def test_unknown_source_suggests_the_closest():
    with pytest.raises(UnknownKeyError, match="did you mean 'transformers'"):
        source("transformer")


def test_two_sources_of_one_name_are_an_error():
    with pytest.raises(ModelError, match="'timm' is registered twice"):
        register_source("timm")(type("Another", (), {}))


def test_two_baselines_of_one_name_are_an_error():
    baseline_names()
    with pytest.raises(ModelError, match="'pixels' is registered twice"):
        register_baseline("pixels", "vision")(lambda stimuli, options: stimuli.images)


def test_importing_the_rooms_imports_no_deep_learning_library():
    heavy = "('torch', 'timm', 'transformers', 'open_clip', 'torchvision', 'huggingface_hub')"
    code = (
        "import sys, convergent.models, convergent.extraction\n"
        f"sys.exit(' '.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
