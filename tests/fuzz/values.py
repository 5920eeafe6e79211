"""Values that a key or a cell certainly cannot have, and those that it may."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

# What shells, file systems, Snakemake's patterns, SQL and YAML would take for something else.
NASTY = (
    "$(touch x)", "`id`", "a;b", "a b", "../x", "..", ".", "a/b", "/etc/passwd", "~", "~nobody/x",
    "$HOME", "{x}", "{model}", "a*", "?", "[a]", "a'b", 'a"b', "a\\b", "a|b", "a>b", "a&b", "#a",
    "!x", "-x", "--help", "a\nb", "a\tb", "a\u2028b", "a\u200bb", "\u0430", "é", "a" * 256,
    "a" * 5000, "", " ", "%j", "a:b", "a@b", "=a", "<script>", "a,b", "\x7f", "'; DROP TABLE x; --",
)  # fmt: skip


def few(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A list of one or two."""
    return st.one_of(st.tuples(values), st.tuples(values, values)).map(list)


NOT_TEXT: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), few(st.text(max_size=3)),
    st.just({"a": 1}),
)  # fmt: skip
NOT_NUMBER: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["", "x", "1e", "0x10", "1,5", "１２", "1 2", "NaN", "inf", "true", "one"]),
    st.just(float("nan")), st.just(float("inf")), st.just(float("-inf")), st.booleans(),
    few(st.integers()), st.just({"low": 1}),
)  # fmt: skip


def not_whole(low: int, high: int = 10**6, *, optional: bool = False) -> st.SearchStrategy[Any]:
    """No whole number from ``low`` to ``high``."""
    return st.one_of(
        NOT_NUMBER,
        *([] if optional else [st.none()]),
        st.integers(max_value=low - 1),
        st.integers(min_value=high + 1),
        st.floats(min_value=low, max_value=min(high, 1e15)).filter(lambda x: x != int(x)),
        st.sampled_from([10**30, -(10**30), str(10**30)]),
    )


def not_real(
    low: float, high: float, *, open_low: bool = False, optional: bool = False
) -> st.SearchStrategy[Any]:
    """No number from ``low`` to ``high``."""
    return st.one_of(
        NOT_NUMBER,
        *([] if optional else [st.none()]),
        st.floats(max_value=low, exclude_max=not open_low, allow_infinity=False, width=32),
        st.floats(min_value=high, exclude_min=True, allow_infinity=False),
    )


def not_among(*words: str, optional: bool = False) -> st.SearchStrategy[Any]:
    """None of a few words."""
    return st.one_of(
        NOT_TEXT.filter(lambda x: not (optional and x is None)),
        st.sampled_from([w for word in words for w in (word.upper(), f"{word} ", f"{word}x")]),
        st.text(max_size=5).filter(lambda x: x not in words),
    ).filter(lambda x: x not in words)


NOT_KEY = st.one_of(NOT_TEXT, st.sampled_from(NASTY))
NOT_DEVICE = st.one_of(
    NOT_TEXT, st.sampled_from(["tpu", "mps", "cuda:", "cuda:-1", "cuda:x", "CPU", "cuda; rm", ""])
)
NOT_SWITCH = st.one_of(
    st.none(), st.integers(min_value=2), st.sampled_from(["maybe", "", "2"]), st.just([]),
    st.floats(min_value=2),
)  # fmt: skip
NOT_LIST = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just({"a": 1}),
    few(st.one_of(st.none(), st.integers())),
)  # fmt: skip
NOT_SECTION = st.one_of(st.booleans(), st.integers(), st.text(max_size=5), few(st.integers()))
NOT_PATH = st.one_of(
    NOT_TEXT.filter(lambda x: x is not None),
    st.sampled_from(["", " ", "a\0b", "a\nb", "a" * 300, "no such file", "\x1b[31m", "x/" * 3000]),
)
NOT_RESULTS = st.one_of(
    NOT_TEXT,
    st.sampled_from(
        [
            name
            for name in NASTY
            if name not in ("é", "a@b", "\u0430", "a,b", "=a", "a b", "a/b", ".")
        ]
        + ["models.tsv", "models.tsv/x", "~/x", "a/../b", "a//b", "a/ /b", "a/-x"]
    ).filter(lambda name: name != "/etc/passwd"),
    st.just("/etc/passwd"),
)
SEED = not_whole(0, 2**32 - 1)

# Keys of the study, with values that each certainly cannot have.
WRONG: dict[str, st.SearchStrategy[Any]] = {
    "study": NOT_KEY,
    "title": st.one_of(NOT_TEXT, st.just("")),
    "description": NOT_TEXT,
    "results": NOT_RESULTS,
    "tables": st.one_of(NOT_SECTION, st.none()),
    "tables.models": st.one_of(
        NOT_LIST, few(NOT_PATH), st.just([]),
        st.sampled_from([["."], ["/dev/null"], ["/dev/zero"], ["models.tsv", "models.tsv"],
                         ["performance.tsv"], ["data/images/image000.png"], ["~/models.tsv"]]),
    ),
    "tables.checkpoints": st.one_of(NOT_LIST, few(NOT_PATH)),
    "tables.performance": st.one_of(NOT_LIST, few(NOT_PATH)),
    "datasets": st.one_of(NOT_SECTION, st.none(), st.just({})),
    "datasets.mine": st.one_of(NOT_SECTION, st.none(), st.just({})),
    "datasets.mine.reader": st.one_of(NOT_TEXT, st.sampled_from(["", "Own", "owm", "own; rm"])),
    "datasets.mine.modality": not_among("vision"),
    "datasets.mine.design": not_among("items"),
    "datasets.mine.subjects": st.one_of(
        NOT_LIST, st.just([]), st.just(["01", "01"]), st.just(["s1", "S1"]), st.just(["03"]),
        few(NOT_KEY),
    ),
    "datasets.mine.stimuli": not_whole(1, 10**9),
    "datasets.mine.options": st.one_of(
        NOT_SECTION, st.none(), st.just({}), st.just({"file": "data/data.yaml", "foo": 1}),
    ),
    "datasets.mine.options.file": st.one_of(
        NOT_PATH, st.sampled_from([".", "/dev/zero", "/etc/passwd", "$NOSUCH/x", "~nobody/x.yaml",
                                   "data/targets.tsv", "data/*.yaml", None]),
    ),
    "select": NOT_SECTION,
    "select.models": st.one_of(NOT_LIST, st.just(["nosuch"]), st.just(["net-0", "net-0"])),
    "select.families": st.one_of(NOT_LIST, st.just(["net"])),
    "select.exclude": st.one_of(NOT_LIST, st.just(["net-0", "net-1", "pixels"])),
    "twins": NOT_SECTION,
    "twins.seeds": st.one_of(
        NOT_LIST.filter(lambda x: x not in ([0], [1])), few(SEED),
        st.just([0, 0]), st.just([7]),
    ).filter(lambda x: not _seeds(x)),
    "twins.models": st.one_of(NOT_LIST, st.just(["nosuch"]), st.just(["pixels"])),
    "twins.families": st.one_of(NOT_LIST, st.just(["nosuch"])),
    "weights.check": not_among("quick", "full"),
    "weights.cache": st.one_of(NOT_TEXT.filter(lambda x: x is not None), st.just("a\0b")),
    "resources.gpu_mb": not_whole(1000, 10**9),
    "resources.gpus": not_whole(1),
    "resources.teraflops": not_real(0, 1e12, open_low=True),
    "resources.read_mb_s": not_real(0, 1e12, open_low=True),
    "resources.fit_seconds": not_real(0, 1e12, open_low=True),
    "resources.alignment_mb": not_real(0, 1e12, open_low=True),
    "resources.scratch": st.sampled_from(["", "tmp", 5, [], True]),
    "aggregation.workers": not_whole(1),
    "aggregation.scheduler": st.one_of(NOT_TEXT, st.sampled_from(["", "thread", "http://x y"])),
    "aggregation.wait_minutes": not_real(0, 1e12, open_low=True),
    "aggregation.slurm": st.one_of(NOT_SECTION, st.just({"queue": "x"})),
    "extraction": NOT_SECTION,
    "extraction.device": NOT_DEVICE,
    "extraction.offload": not_among("none", "cpu"),
    "extraction.batch_size": not_whole(1).filter(lambda x: x != "auto"),
    "extraction.memory_gb": not_real(0, 1e12, open_low=True, optional=True),
    "extraction.precision": not_among("float32", "bfloat16", "float16", optional=True),
    "extraction.store": not_among("float32", "float16"),
    "extraction.projection": not_whole(1, optional=True),
    "extraction.projection_seed": SEED,
    "extraction.context_words": not_whole(1),
    "extraction.limits": NOT_SECTION,
    **{
        f"extraction.limits.{name}": not_real(0, 1)
        for name in ("unknown", "truncated", "blank", "saturated", "constant", "identical")
    },
    "fit": NOT_SECTION,
    "fit.metrics": st.one_of(
        NOT_SECTION, st.none(), st.just({}), st.just({"ridge": {"alpha": 1}}),
        st.sampled_from([
            {"rigde": None}, {"RIDGE": None}, {"ridge": 5}, {"ridge": None, "cka": {"x": 1}},
            {"cka_rbf": None}, {"cka": None, "knn": None},
            {"ridge": None, "unique": None}, {"ridge": None, "unique": {"baselines": ["net-0"]}},
            {"ridge": None, "unique": {"baselines": ["nosuch"]}},
            {"ridge": None, "unique": {"nuisance": ["nosuch"]}},
        ]),
    ),
    "fit.metrics.cka_rbf": st.fixed_dictionaries({"scales": st.one_of(
        NOT_LIST, st.just([]), st.just([1, 1]), st.just([0.0]), st.just([-1.0]), st.just([1e300]),
        few(not_real(0, 1e6, open_low=True)),
    )}),
    "fit.metrics.knn": st.fixed_dictionaries({"k": st.one_of(not_whole(1, 59), st.just("3"))}),
    "fit.primary": not_among("ridge", "cka", optional=True),
    "fit.device": NOT_DEVICE,
    "fit.dtype": not_among("float64", "float32"),
    "fit.alphas": NOT_SECTION,
    "fit.alphas.low": not_real(-30, 8),
    "fit.alphas.high": not_real(-1, 30),
    "fit.alphas.number": not_whole(2, 1000),
    "fit.folds": st.one_of(not_whole(2), st.integers(61, 10**6)),
    "fit.inner_folds": st.one_of(not_whole(2), st.integers(61, 10**6)),
    "fit.selection": not_among("gcv", "loo", "folds"),
    "fit.standardize": NOT_SWITCH,
    "fit.pca": not_whole(1, optional=True),
    "fit.seed": SEED,
    "fit.delays": st.one_of(
        NOT_LIST.filter(lambda x: not _delays(x)), st.just([]), st.just([1, 1]),
        few(not_whole(0, 1000)),
    ),
    "fit.trim_volumes": not_whole(0),
    "fit.permutations": not_whole(0),
    "fit.bootstraps": not_whole(0),
    "fit.shifts": NOT_SWITCH,
    "fit.block": not_whole(1),
    "fit.similarity_stimuli": not_whole(8, optional=True),
    "fit.fixed_depth": not_real(0, 1),
    "performance.benchmarks": st.one_of(
        NOT_SECTION, st.just({"vision": "nosuch"}), st.just({"vision": []}),
        st.just({"audio": "top1"}), st.just({"language": "top1"}), st.just({"vision": None}),
        st.just({"vision": ["top1", "top1"]}), st.builds(lambda x: {"vision": x}, NOT_KEY),
    ),
    "performance.evaluations": st.one_of(
        NOT_LIST, st.sampled_from([["nosuch"], ["probe_top1"], ["top1"], ["zero_shot_top1"]])
    ),
    "performance.text": st.one_of(NOT_PATH, st.sampled_from([".", "/dev/zero", "data"])),
    "performance.images": st.one_of(NOT_PATH, st.sampled_from(["models.tsv", "weights"])),
    "performance.classes": NOT_PATH,
    "performance.templates": st.one_of(NOT_LIST, st.just([]), st.just(["x"]), st.just(["{}{}"])),
    "performance.window": not_whole(2),
    "performance.stride": not_whole(1),
    "statistics.bootstraps": not_whole(100),
    "statistics.permutations": not_whole(100),
    "statistics.seed": SEED,
    "statistics.ceiling_threshold": not_real(0, 1),
    "convergence": st.one_of(
        NOT_SECTION, st.just({}), st.just({"datasets": ["mine", "mine"]}),
        st.just({"datasets": ["a", "b"]}), st.just({"datasets": ["mine"]}),
    ),
    "coverage.minimum": not_real(0, 1, open_low=True),
    "training": st.one_of(
        NOT_SECTION, st.none(), st.just({"nosuch": {}}), st.just({"scenes-cnn": {}}),
        st.just({"scenes-cnn": {"sed": 1}}), st.just({"scenes-cnn": {"seed": -1}}),
    ),
    "granularity": not_among("layer", "checkpoint", "model"),
    "fit_granularity": not_among("layer", "subject"),
    "container": st.one_of(NOT_PATH, st.just("no such image.sif")),
}  # fmt: skip


def _seeds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and value != [7]
        and len(set(map(str, value))) == len(value)
        and all(type(one) is int and 0 <= one < 2**32 and one != 7 for one in value)
    )


def _delays(value: Any) -> bool:
    return isinstance(value, list) and all(type(x) is int and 0 <= x <= 1000 for x in value)


# ---- tables --------------------------------------------------------------------------------------

# One cell of a table: no tab, no end of line, and not what is stripped.
_NASTY_CELLS = tuple(
    name for name in NASTY if "\t" not in name and "\n" not in name and name == name.strip()
)
BAD_KEY_CELL = st.sampled_from(_NASTY_CELLS)
BAD_WHOLE_CELL = st.sampled_from(
    ["", "-1", "1.0", "1e3", "1,000", "1.000.000", "4.6M", "NaN", "inf", "0x10", "１２", "²",
     "9" * 30, "9" * 5000, "1 000", "1_0", "−5", "+", "true"]
)  # fmt: skip
BAD_REAL_CELL = st.sampled_from(
    ["", "NaN", "inf", "-inf", "1e400", "-1e308", "75,1", "75.1%", "1,075.1", "0x1F", "1e5e",
     "true", "−5", "1_0", "1 0", "１２", "--5", "9" * 5000]
)  # fmt: skip

# (table, row, column): cells that it certainly cannot have. Rows count from 1.
WRONG_CELLS: dict[tuple[str, int, str], st.SearchStrategy[str]] = {
    ("models", 1, "model"): BAD_KEY_CELL,
    ("models", 2, "model"): st.one_of(BAD_KEY_CELL, st.sampled_from(["net-0", "NET-0", "net-3"])),
    ("models", 1, "family"): st.one_of(BAD_KEY_CELL, st.just("Nets")),
    ("models", 1, "modality"): st.sampled_from(["", "audio", "VISION", "language", "visio"]),
    ("models", 1, "source"): st.sampled_from(["", "huggingface", "baseline", "TIMM", "tim"]),
    ("models", 1, "reference"): st.sampled_from(
        ["", "path:", "path:nosuch", "path:$(id)", "path:" + "a" * 300, "package:nosuch/x",
         "package:os/../..", "package:numpy/../..", "http://evil/x", "trained:nosuch", "../../etc",
         "org/model", "tag:x", "file:///etc/passwd", "path:~nobody-there/x"]
    ),
    ("models", 1, "parameters"): BAD_WHOLE_CELL,
    ("models", 1, "layers"): st.one_of(
        st.sampled_from(
            ["", ";", "blocks.{0-99999};head", "layers.{0-999999999}", "blocks.{3-0}",
             "blocks.{a-c", "blocks.0-6}", "blocks.{}",
             "blocks.{0,,6}", "blocks.{00-02}", "blocks.{0,0,0}",
             "{0-99}{0-99}{0-99}", "{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}", "{0,{1,2}}",
             "blocks.0;blocks.0;blocks.1", "Head;head;x", "blocks.{0-2", "a..b;c;d", ".a;b;c"]
        ),
        st.sampled_from(_NASTY_CELLS).filter(lambda x: x not in ("a,b",)).map(lambda x: f"{x};b;c"),
    ),
    ("models", 1, "width"): st.sampled_from(
        ["", "-1", "0", "16;80", "16;80;320;1", "16;;320", "16,80,320", "1e2", "NaN",
         "16;80;" + "9" * 20, "16.0", ";", "１２", "16;80;x"]
    ),
    ("models", 1, "layout"): st.sampled_from(["", "tokens", "vector", "x", "channels"]),
    ("models", 1, "pooling"): st.sampled_from(["", "mean", "cls", "none", "spatial"]),
    ("models", 1, "precision"): st.sampled_from(["fp16", "float64", "int8", "FLOAT32"]),
    ("models", 1, "preprocessing"): st.sampled_from(
        ["size", "size=", "=5", "size=abc", "size=-1", "size=0", "size=1e9", "size=1.5", "foo=1",
         "size=64 size=96", "mean=nan", "mean=inf", "mean=a", "mean=0.5,0.5", "mean=1e9", "std=0",
         "std=nan", "std=-1", "crop=0", "crop=-1", "crop=nan", "crop=2", "crop=0.5,0.5",
         "file=../../etc/passwd", "file=/etc/passwd", "interpolation=foo", "resize=x", "size=64;rm",
         "num_classes=-1", "skip_tokens=-1", "max_length=0", "weights=x", "skip_first_token=maybe",
         "remote_code=abc", "grid=2"]
    ),
    ("models", 3, "reference"): st.sampled_from(["", "pixel", "word-rate", "path:weights"]),
    ("models", 3, "preprocessing"): st.sampled_from(["size=0", "size=x", "grid=2", "mean=0.5"]),
    ("models", 1, "attention"): st.sampled_from(["maybe", "CAUSAL"]),
    ("checkpoints", 1, "model"): st.sampled_from(["", "nosuch", "pixels", "NET-0", "net 0"]),
    ("checkpoints", 1, "checkpoint"): st.one_of(BAD_KEY_CELL, st.sampled_from(["end", "End"])),
    ("checkpoints", 1, "role"): st.sampled_from(["Trained", "control", "x", "random"]),
    ("checkpoints", 1, "step"): st.one_of(
        BAD_WHOLE_CELL.filter(lambda x: x != ""), st.just("100")
    ),
    ("checkpoints", 3, "seed"): BAD_WHOLE_CELL,
    ("checkpoints", 1, "seed"): st.just("1"),
    ("checkpoints", 1, "final"): st.sampled_from(["YES", "yes", "true", "1"]),
    ("checkpoints", 2, "final"): st.sampled_from(["no", "", "NO"]),
    ("checkpoints", 3, "final"): st.just("yes"),
    ("checkpoints", 1, "same_as"): st.sampled_from(
        ["nosuch", "start", "net-0/start", "net-9/final", "a/b/c", "/", "../x", "$(id)"]
    ),
    ("performance", 1, "model"): st.sampled_from(["", "nosuch", "NET-0"]),
    ("performance", 1, "checkpoint"): st.sampled_from(["", "nosuch", "END"]),
    ("performance", 1, "benchmark"): st.one_of(BAD_KEY_CELL, st.just("Top1")),
    ("performance", 1, "score"): st.one_of(BAD_REAL_CELL, st.sampled_from(["0.751", ".76"])),
    ("performance", 1, "source"): st.just(""),
}  # fmt: skip
_ROW = "\tnets\tvision\ttimm\tpath:weights\t\t1\thead\t16\tvector\tnone"
# A line that is added to a table and that certainly cannot be there.
WRONG_LINES: dict[str, st.SearchStrategy[str]] = {
    "models": st.sampled_from(
        [f"net-1{_ROW}", "net-2", "net-2\tnets\tvision\ttimm", f"net-2{_ROW}" + "\t" * 9]
    ),
    "checkpoints": st.sampled_from(
        ["net-0\tend\ttrained\t5\t\tno\t", "net-0\tx\trandom\t\t7\tno\t",
         "net-0\tx\trandom\t\t\tno\t",
         "net-0\tx\ttrained\t200\t\tyes\t", "pixels\tx\trandom\t\t0\tno\t", "net-0"]
    ),
    "performance": st.sampled_from(
        ["net-0\tend\ttop1\t75.1\tpaper", "net-0\tend\tx\t5", "net-1\tend\ttop1\t5\tp",
         "net-0\tend\tTOP1\t5\tp", "net-0\tend\tx\t5\tp\tmore"]
    ),
}  # fmt: skip

# ---- the file of a data set of one's own ---------------------------------------------------------

WRONG_OWN: dict[str, st.SearchStrategy[Any]] = {
    "modality": not_among("vision"),
    "design": not_among("items"),
    "version": st.one_of(st.none(), st.just([]), st.just({})),
    "stimuli": st.one_of(NOT_SECTION, st.none(), st.just({})),
    "stimuli.table": st.one_of(
        NOT_PATH, st.sampled_from([".", "/dev/zero", "images", "data.yaml"])
    ),
    "stimuli.id": st.one_of(NOT_TEXT, st.sampled_from(["", "ID", "file "])),
    "stimuli.images": st.one_of(NOT_PATH.filter(bool), st.just("stimuli.tsv")),
    "stimuli.file": st.one_of(NOT_TEXT, st.sampled_from(["", "id", "split"])),
    "stimuli.size": not_whole(8, 10_000, optional=True),
    "stimuli.group": st.one_of(NOT_TEXT.filter(lambda x: x is not None), st.just("nosuch")),
    "stimuli.split": st.one_of(NOT_TEXT.filter(lambda x: x is not None), st.just("file")),
    "responses": st.one_of(NOT_SECTION, st.none(), st.just({})),
    "responses.files": st.one_of(
        NOT_PATH, st.sampled_from(["sub-{subject}_{x}.npy", "sub-{}.npy", "sub-{subject.npy",
                                   "sub-{subject}_{hemi}.npy", "sub-{subject}_{run}.npy", "[", "**",
                                   "sub-{subject}_events.tsv", "nosuch-{subject}.npy"]),
    ),
    "responses.key": st.one_of(st.integers(), st.just([])),
    "responses.mask": st.one_of(NOT_PATH.filter(bool), st.just("stimuli.tsv")),
    "responses.samples": st.one_of(st.integers(min_value=1), st.none(), st.just("x")),
    "responses.ids": st.one_of(
        NOT_PATH, st.none(), st.sampled_from([".", "stimuli.tsv", "nosuch-{subject}.tsv", "{x}"])
    ),
    "responses.id": st.one_of(NOT_TEXT, st.just("nosuch")),
    "responses.session": st.one_of(NOT_TEXT.filter(lambda x: x is not None), st.just("nosuch")),
    "responses.standardise": not_among("none"),
    "responses.drop": st.one_of(NOT_LIST, st.just(["nan"])),
    "responses.tr": not_real(0, 1000, open_low=True, optional=True),
    "responses.start": not_real(-1e6, 1e6, optional=True),
    "regions": st.one_of(NOT_SECTION, st.none(), st.just({})),
    "regions.labels": st.one_of(
        NOT_PATH, st.sampled_from([".", "stimuli.tsv", "sub-01_events.tsv", "sub-01_betas.npy"])
    ),
    "regions.describe": st.one_of(
        NOT_TEXT.filter(lambda x: x is not None), st.sampled_from(["hcp", ""])
    ),
    "regions.atlas": st.sampled_from(["hcp-mmp1", 5]),
    "regions.whole": st.sampled_from(["V1", 5]),
    "regions.table": st.one_of(
        NOT_PATH.filter(bool), st.sampled_from(["stimuli.tsv", "targets.tsv2"])
    ),
    "regions.hemispheres": not_among("apart", "merged"),
    "subjects": st.one_of(
        NOT_LIST, st.just(["01", "01"]), st.just(["03"]), few(NOT_KEY)
    ),
    "ceilings": NOT_SECTION,
    "ceilings.from": not_among("none", "repeats", "split-half", "subjects"),
    "ceilings.file": st.one_of(st.just("nosuch.npy"), st.integers()),
    "ceilings.units": not_among("r2", "r", "percent", "ncsnr"),
    "citation": NOT_TEXT,
    "nosuch": st.integers(),
}  # fmt: skip
