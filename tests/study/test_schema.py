"""The schema of configurations that lies in the repository is that of the code."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from convergent.cli import app

SCHEMA = Path("workflow/schemas/study.schema.json")


@pytest.fixture
def schema(repository: Path) -> dict:
    return json.loads((repository / SCHEMA).read_text())


def test_it_is_what_the_command_prints(schema):
    done = CliRunner().invoke(app, ["schema"])
    assert json.loads(done.output) == schema, f"convergent schema > {SCHEMA}"


@pytest.mark.parametrize("name", ["demo", "alice", "nsd", "objects", "paper"])
def test_every_study_of_the_repository_is_valid(schema, repository, name):
    jsonschema.validate(yaml.safe_load((repository / f"config/{name}.yaml").read_text()), schema)


@pytest.mark.parametrize(
    "wrong",
    [{"titel": "x"}, {"fit": {"fold": 3}}, {"granularity": "layers"}, {"fit": {"folds": "many"}}],
)
def test_what_the_code_refuses_it_refuses(schema, repository, wrong):
    config = yaml.safe_load((repository / "config/demo.yaml").read_text()) | wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, schema)
