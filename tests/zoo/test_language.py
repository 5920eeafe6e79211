"""The table of language models agrees with its registry, its scores and its networks."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from convergent.errors import DataError, ModelError, TableError, UnknownKeyError
from convergent.models import Options, source
from convergent.study.rows import read_models, read_performance
from convergent.zoo.language import build_language, precision_of
from convergent.zoo.sketch_transformers import (
    ARCHITECTURES,
    Published,
    architecture_names,
    count_parameters,
    empty_network,
    is_causal,
    layer_paths,
    layer_widths,
    published_parameters,
    read_architecture,
    read_published,
)

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "config" / "models"
FILES = ROOT / ARCHITECTURES
MAKERS = frozenset(
    {"01-ai", "answerdotai", "BAAI", "bigscience", "CohereForAI", "deepseek-ai", "distilbert",
     "EleutherAI", "facebook", "FacebookAI", "google", "google-bert", "google-t5",
     "HuggingFaceTB", "huggyllama", "ibm-granite", "intfloat", "meta-llama", "microsoft",
     "mistralai", "mosaicml", "openai-community", "Qwen", "sentence-transformers", "stabilityai",
     "thenlper", "THUDM", "tiiuae", "TinyLlama", "allenai", "upstage"}
)  # fmt: skip
BENCHMARKS = {"open_llm_average", "ifeval", "bbh", "math_lvl5", "gpqa", "musr", "mmlu_pro"}


@pytest.fixture(scope="module")
def table():
    errors = []
    models, wrong = read_models(TABLES, ("language.tsv",), (), errors)
    scores = read_performance(TABLES, ("language_performance.tsv",), models, wrong, errors)
    assert errors == []
    return models, scores


@pytest.fixture(scope="module")
def leaderboard():
    shared = os.environ.get("CONVERGENT_SHARED")
    path = Path(shared or "", "data", "performance", "open_llm_leaderboard_v2.parquet")
    if not shared or not path.is_file():
        pytest.skip("CONVERGENT_SHARED with data/performance is needed")
    return path


def test_every_row_reads_through_the_studys_reader(table):
    models, scores = table
    assert len(models) >= 300
    assert len({model.reference for model in models.values()}) == len(models)
    for model in models.values():
        assert (model.modality, model.source, model.layout) == (
            "language",
            "transformers",
            "tokens",
        )
        assert model.reference.split("/")[0] in MAKERS, model.key
        assert re.fullmatch(r"[0-9a-f]{40}|", model.revision), model.key
        assert {"base", "instruct", "sentence-encoder"} & set(model.tags), model.key
        Options(model, source("transformers").options)
    assert {score.benchmark for score in scores} == BENCHMARKS
    assert all(0 <= score.score <= 100 for score in scores)


def test_sizes_span_four_orders(table):
    sizes = [model.parameters for model in table[0].values()]
    assert min(sizes) < 15e6
    assert max(sizes) > 72e9


def test_decoders_leave_out_the_sink_and_encoders_do_not(table):
    for model in table[0].values():
        kind = read_architecture(model.architecture, FILES)["model_type"]
        assert (model.attention == "causal") == is_causal(kind), model.key
        sink = model.preprocessing.get("skip_first_token") == "yes"
        assert sink == is_causal(kind), model.key


def test_layers_are_embeddings_every_block_and_the_final_norm(table):
    counts = {"num_hidden_layers", "n_layer", "n_layers", "num_layers"}
    for model in table[0].values():
        values = read_architecture(model.architecture, FILES)
        blocks = next(values[name] for name in counts if name in values)
        names = [layer.name for layer in model.layers]
        assert "embed" in names[0] or names[0] == "wte", model.key
        assert sum(name.rpartition(".")[2].isdigit() for name in names) == blocks, model.key


def test_scored_models_of_one_repository_have_the_commit_of_their_scores(table):
    models, scores = table
    for score in scores:
        commit = re.search(r"at ([0-9a-f]{7}|unknown commit), ", score.source)
        assert commit is not None, score
        expected = commit[1] if commit[1] != "unknown commit" else ""
        assert models[score.model].revision[:7] == expected, score
    assert len({score.model for score in scores}) > 200


# One of each kind of network, up to the largest: building them all is what `models check` does.
@pytest.mark.parametrize(
    "name",
    ["pythia-70m", "opt-350m", "gpt2", "bloom-560m", "bert-l2-h128", "electra-small", "t5-small",
     "flan-t5-small", "falcon-7b", "mpt-7b", "gemma-3-270m", "modernbert-base", "qwen2-72b"],
)  # fmt: skip
def test_table_and_published_count_agree_with_the_network(table, name):
    configuration, published = read_architecture(name, FILES), read_published(FILES)[name]
    assert published.agrees(published_parameters(configuration, published.counted))
    network = empty_network(configuration)
    assert all(parameter.is_meta for parameter in network.parameters())
    paths = layer_paths(network)
    rows = [model for model in table[0].values() if model.architecture == name]
    assert rows
    for model in rows:
        assert model.parameters == count_parameters(network)
        assert [layer.name for layer in model.layers] == paths
        assert [layer.width for layer in model.layers] == layer_widths(network, paths)


def test_a_projected_embedding_has_its_own_width(table):
    widths = [layer.width for layer in table[0]["opt-350m"].layers]
    assert widths == [512] + [1024] * 24  # and no final norm


def test_every_architecture_is_used_and_has_a_source(table):
    names = set(architecture_names(FILES))
    assert names == {model.architecture for model in table[0].values()}
    assert names == set(read_published(FILES))


@pytest.mark.parametrize(
    ("text", "count", "agrees"),
    [
        ("14067712", 14_067_712, True),
        ("14067712", 14_067_713, False),
        ("11.103B", 11_102_822_400, True),
        ("29.95B", 29_957_200_896, True),  # cut off, not rounded
        ("4.4M", 4_433_468, True),
        ("4.4M", 4_500_001, False),
        ("66B", 64_999_999_999, False),
    ],
)
def test_published_counts_are_read_to_their_digits(text, count, agrees):
    assert Published("x", text, "AutoModel", "s").agrees(count) is agrees


def test_precision_follows_size_and_publication():
    assert precision_of(3_300_000_000, "bfloat16") == "float32"
    assert precision_of(6_700_000_000, "float16") == "float16"
    assert precision_of(6_700_000_000, "bfloat16") == "bfloat16"
    assert precision_of(6_700_000_000, "float32") == "bfloat16"


def test_scores_are_those_of_the_leaderboard(table, leaderboard):
    import polars as pl

    models, scores = table
    rows = pl.read_parquet(leaderboard)
    for key in ("qwen2.5-72b", "pythia-160m", "llama-3.1-8b-instruct", "gemma-2-2b", "gpt2-xl"):
        model = models[key]
        mine = {score.benchmark: score.score for score in scores if score.model == key}
        found = rows.filter(pl.col("revision") == model.revision).filter(
            pl.col("average") == mine["open_llm_average"]
        )
        assert found.height == 1, key
        assert found["bbh"][0] == mine["bbh"], key
        assert found["mmlu_pro"][0] == mine["mmlu_pro"], key
    assert models["llama-3.3-70b-instruct"].revision == ""  # scored, at a commit nobody wrote down


def registry(directory, *lines):
    directory.mkdir(exist_ok=True)
    header = "model\tfamily\treference\tarchitecture\tpublished\ttags\tleaderboard\tnotes"
    (directory / "registry.tsv").write_text("\n".join([header, *lines]) + "\n")
    (directory / "tiny.json").write_text(
        json.dumps({
            "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "head_dim": 4,
            "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16,
            "vocab_size": 32, "tie_word_embeddings": True,
        })
    )  # fmt: skip
    # embeddings, then two blocks of q and o, k and v, the three of the MLP and two norms; a norm
    count = 32 * 8 + 2 * (2 * 64 + 2 * 32 + 3 * 128 + 2 * 8) + 8
    write_sources(directory, f"tiny\t{count}\tAutoModelForCausalLM\tby hand")
    return directory


def write_sources(directory, *lines):
    text = "\n".join(["architecture\tpublished\tcounted\tsource", *lines]) + "\n"
    (directory / "sources.tsv").write_text(text)


def evaluations(path, *rows):
    import polars as pl

    columns = ("model", "revision", "precision", "flagged", "submission_date", "average")
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    parts = dict.fromkeys(("ifeval", "bbh", "math_lvl5", "gpqa", "musr", "mmlu_pro"), 1.0)
    pl.DataFrame([record | parts for record in records]).write_parquet(path)
    return path


A, B, C = "a" * 40, "b" * 40, "c" * 40


def test_of_several_evaluations_the_rule_takes_one(tmp_path):
    directory = registry(
        tmp_path / "arch",
        "m\tf\to/m\ttiny\tbfloat16\tbase\to/old-name",
        "n\tf\to/n\ttiny\tbfloat16\tbase",
        "q\tf\to/q\ttiny\tbfloat16\tbase",
    )
    file = evaluations(
        tmp_path / "l.parquet",
        ("o/m", A, "bfloat16", False, "2024-06-01", 10.0),
        ("o/old-name", B, "bfloat16", False, "2024-07-01", 20.0),
        ("o/m", C, "float16", False, "2024-08-01", 30.0),
        ("o/m", C, "bfloat16", True, "2024-09-01", 40.0),
        ("o/m", "", "bfloat16", False, "2024-10-01", 50.0),
        ("someone/q", C, "bfloat16", False, "2024-10-01", 60.0),
        ("o/n", "", "bfloat16", False, "2024-10-01", 70.0),
    )
    models, scores = (table.rows for table in build_language(file, directory).tables)
    average = {s.model: s.score for s in scores if s.benchmark == "open_llm_average"}
    assert average == {"m": 20.0, "n": 70.0}  # a model without published scores has none
    assert [model.revision for model in models] == [B, "", ""]
    assert scores[0].source == "Open LLM Leaderboard v2, o/old-name at bbbbbbb, bfloat16"


def test_a_wrong_dimension_stops_the_build(tmp_path):
    directory = registry(tmp_path / "arch", "m\tf\to/m\ttiny\tbfloat16\tbase")
    write_sources(directory, "tiny\t1449\tAutoModelForCausalLM\tby hand")
    file = evaluations(tmp_path / "l.parquet", ("o/x", A, "bfloat16", False, "2024-06-01", 1.0))
    with pytest.raises(ModelError, match=r"1,448 parameters, but 1449 are published \(by hand\)"):
        build_language(file, directory)


def test_mistakes_in_the_files_are_told_with_their_place(tmp_path):
    directory = registry(tmp_path / "arch", "m\tf\to/m\tteny\tbfloat16\tbase")
    file = evaluations(tmp_path / "l.parquet", ("o/x", A, "bfloat16", False, "2024-06-01", 1.0))
    with pytest.raises(UnknownKeyError, match="did you mean 'tiny'"):
        build_language(file, directory)
    write_sources(directory, "tiny\tmany\tAutoModel\tx")
    with pytest.raises(TableError, match="'many' is no count"):
        read_published(directory)
    write_sources(directory)
    with pytest.raises(TableError, match="no row for tiny"):
        read_published(directory)
    (directory / "tiny.json").write_text("{")
    with pytest.raises(ModelError, match=r"tiny\.json: no JSON"):
        read_architecture("tiny", directory)
    with pytest.raises(DataError, match="no such file"):
        build_language(tmp_path / "absent.parquet", directory)


def test_a_score_that_is_none_stops_the_build(tmp_path):
    directory = registry(tmp_path / "arch", "m\tf\to/m\ttiny\tbfloat16\tbase")
    file = evaluations(
        tmp_path / "l.parquet", ("o/m", A, "bfloat16", False, "2024-06-01", float("nan"))
    )
    with pytest.raises(DataError, match="'o/m' has a score outside 0 to 100"):
        build_language(file, directory)


def test_an_unknown_kind_of_network_is_refused():
    with pytest.raises(ModelError, match="transformers cannot build 'nothing'"):
        empty_network({"model_type": "nothing"})
    network = empty_network({"model_type": "xlnet", "d_model": 8, "n_layer": 1, "n_head": 1,
                             "d_inner": 8, "vocab_size": 8})  # fmt: skip
    with pytest.raises(ModelError, match="layers of 'xlnet' are not known"):
        layer_paths(network)
