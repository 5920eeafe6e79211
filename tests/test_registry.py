"""Names of sources, readers, metrics and the others: lazy, without collisions, from any package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from convergent.errors import ConfigError, UnknownKeyError
from convergent.models import source
from convergent.registry import (
    ALL,
    CLAIMS,
    FITTED,
    METRICS,
    READERS,
    PluginError,
    Registry,
    has_scales,
    reader_facts,
)
from convergent.training import recipe

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package on the path: its module's source and its entry points by group."""

    def add(name: str, code: str, **points: dict[str, str]) -> Path:
        (tmp_path / f"{name}.py").write_text(code)
        about = tmp_path / f"{name}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = [
            line
            for group, names in points.items()
            for line in (f"[convergent.{group}]", *(f"{k} = {v}" for k, v in names.items()))
        ]
        (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
        return tmp_path

    monkeypatch.syspath_prepend(tmp_path)
    return add


def things(built_in: dict[str, str] | None = None, taken: tuple[str, ...] = ()) -> Registry:
    return Registry("thing", "convergent.things", ("size",), built_in or {}, taken)


# ---- what is built in --------------------------------------------------------------------------


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.group)
def test_every_built_in_name_has_its_object(registry: Registry) -> None:
    for name in set(registry.names()).difference(FITTED):
        assert registry.load(name) is registry.load(name)


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.group)
def test_a_built_in_name_cannot_be_taken(registry: Registry) -> None:
    name = registry.names()[-1]
    with pytest.raises(ConfigError, match=f"'{name}' is defined twice: convergent.*; .*:Another"):
        registry.register(name)(type("Another", (), {}))


def test_a_misspelt_name_suggests_the_closest() -> None:
    with pytest.raises(UnknownKeyError, match="here: unknown metric 'ckaa'. Fix: did you mean"):
        METRICS.entry("ckaa", "here")
    with pytest.raises(UnknownKeyError, match="unknown model source.*did you mean 'transformers'"):
        source("transformer")
    with pytest.raises(UnknownKeyError, match="unknown recipe.*did you mean 'scenes-vit'"):
        recipe("scene-vit")
    with pytest.raises(UnknownKeyError, match="unknown claim's table 'lead'.*'leads'"):
        CLAIMS.load("lead")


def test_listing_names_imports_nothing() -> None:
    code = (
        "import sys\nfrom convergent.registry import ALL\n"
        "assert all(len(registry.names()) > 3 for registry in ALL)\n"
        "sys.exit(' '.join(n for n in sys.modules if n.startswith('convergent.') and "
        "n not in ('convergent.registry', 'convergent.errors')) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_study_asks_at_its_start_imports_no_heavy_library() -> None:
    heavy = ["torch", "transformers", "timm", "scipy", "nibabel", "h5py", "zarr", "polars"]
    code = (
        "import sys\nfrom convergent.registry import METRICS, READERS, has_scales, reader_facts\n"
        "[reader_facts(name) for name in READERS.names()]\n"
        "[has_scales(name) for name in METRICS.names()]\n"
        f"sys.exit(' '.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_rooms_imports_no_deep_learning_library() -> None:
    heavy = ("torch", "timm", "transformers", "open_clip", "torchvision", "huggingface_hub")
    code = (
        "import sys, convergent.models, convergent.extraction\n"
        f"sys.exit(' '.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_which_metrics_are_curves() -> None:
    assert {name for name in METRICS.names() if has_scales(name)} == {"cka_rbf", "cka_rbf_biased"}


# ---- what readers say of themselves ------------------------------------------------------------


def test_every_reader_names_options_that_it_has() -> None:
    facts = {name: reader_facts(name) for name in READERS.names()}
    assert facts["nsd"].location_options == {"data", "scratch"}
    assert facts["alice"].location_options == facts["rsa92"].location_options == {"data"}
    assert facts["own"].file_options == {"file"}
    assert [name for name, one in facts.items() if one.stimuli_of_subjects] == ["nsd"]


class Toy:
    location_options: ClassVar[frozenset[str]] = frozenset({"folder"})
    file_options: ClassVar[frozenset[str]] = frozenset({"table", "labls"})
    stimuli_of_subjects: ClassVar[bool] = True

    def __init__(self, *, folder: str, table: str, labels: str = "") -> None: ...

    def stimuli(self) -> None: ...

    subjects = responses = regions = stimuli


def test_an_option_that_a_reader_does_not_have_is_an_error(registries: None) -> None:
    READERS.register("toy")(Toy)
    with pytest.raises(PluginError, match="has no option 'labls'.*did you mean 'labels'"):
        reader_facts("toy")


def test_a_reader_must_say_what_its_options_are(registries: None) -> None:
    silent = type("Silent", (), {name: None for name in READERS.needs if "options" not in name})
    with pytest.raises(PluginError, match="it has no location_options, file_options"):
        READERS.register("silent")(silent)


# ---- this process ------------------------------------------------------------------------------


def test_an_object_is_registered_once_or_again_as_itself() -> None:
    registry = things(taken=("total",))

    @registry.register("one")
    class One:
        size = 1

    assert registry.register("one")(One) is One is registry.load("one")
    assert registry.names() == ("one",)
    with pytest.raises(ConfigError, match=r"thing 'one' is defined twice: .*One; .*Other"):
        registry.register("one")(type("Other", (), {"size": 2}))
    with pytest.raises(ConfigError, match="thing 'total' is defined twice: a reserved name"):
        registry.register("total")(type("Other", (), {"size": 2}))


# ---- packages outside --------------------------------------------------------------------------


def test_a_package_adds_by_an_entry_point_and_is_imported_late(install: Install) -> None:
    install("late", "class Box:\n    size = 3\n", things={"box": "late:Box"})
    registry = things({"ball": "late:Ball"})
    assert registry.names() == ("ball", "box") and "box" in registry
    assert "late" not in sys.modules
    assert registry.load("box").size == 3
    assert list(registry.errors()) == []


@pytest.mark.parametrize(
    ("code", "target", "why"),
    [
        ("import nowhere_to_be_found", "bad:Box", "ModuleNotFoundError: No module named 'nowhere"),
        ("Box = ", "bad:Box", "SyntaxError"),
        ("1 / 0", "bad:Box", "ZeroDivisionError: division by zero"),
        ("class Bax: ...", "bad:Box", "AttributeError: module 'bad' has no attribute 'Box'"),
        ("class Box: ...", "bad:Box", "it has no size"),
        ("", "worse:Box", "ModuleNotFoundError: No module named 'worse'"),
    ],
)
def test_a_broken_package_stops_only_who_asks_for_it(
    install: Install, code: str, target: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    install("bad", code, things={"box": target})
    install("good", "class Bag:\n    size = 1\n", things={"bag": "good:Bag"})
    registry = things()
    assert registry.names() == ("bag", "box")
    assert registry.load("bag").size == 1
    with pytest.raises(PluginError) as caught:
        registry.load("box", "study.yaml")
    text = str(caught.value)
    assert text.startswith(f"study.yaml: thing 'box' ({target} of package bad 1.2) cannot be used")
    assert why in text and "\n" not in text
    assert text.endswith("Fix: repair, update or uninstall bad")
    assert [str(error) for error in registry.errors()] == [text.removeprefix("study.yaml: ")]


def test_a_package_never_replaces_what_is_built_in(install: Install) -> None:
    install("shadow", "class Box:\n    size = 9\n", things={"box": "shadow:Box", "total": "s:T"})
    registry = things({"box": "builtins:int"}, taken=("total",))
    assert registry.names() == ("box",)
    both = "defined twice: builtins:int; shadow:Box of package shadow 1.2. Fix: rename it"
    with pytest.raises(PluginError, match=both):
        registry.load("box")
    reserved = "defined twice: s:T of package shadow 1.2; this name is reserved"
    with pytest.raises(PluginError, match=reserved):
        registry.load("total")
    assert len(list(registry.errors())) == 2


def test_two_packages_with_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("first", "class Box:\n    size = 1\n", things={"box": "first:Box"})
    install("second", "class Box:\n    size = 2\n", things={"box": "second:Box"})
    registry = things()
    assert registry.names() == ("box",)
    with pytest.raises(PluginError, match="first:Box of package first 1.2") as caught:
        registry.load("box")
    assert "second:Box of package second 1.2" in str(caught.value)


def test_what_the_code_of_a_package_raises_names_the_package(install: Install) -> None:
    install("box", "class Box:\n    size = 1\n", things={"box": "box:Box"})
    registry = things({"ball": "builtins:int"})
    with pytest.raises(PluginError, match=r"\(box:Box of package box 1.2\).*KeyError: 'x'"):  # noqa: SIM117
        with registry.running("box"):
            _ = {}["x"]
    with pytest.raises(UnknownKeyError, match="no row"), registry.running("box"):
        raise UnknownKeyError("no row")
    with pytest.raises(KeyError), registry.running("ball"):
        _ = {}["x"]
    with pytest.raises(PluginError, match="No module named 'elsewhere'"):
        registry.load_part("box", "elsewhere:Part")
