"""Extraction: what the engine costs beside the passes themselves, and how much memory it needs.

    python benchmarks/extraction.py                          # everything, one thread; ten minutes
    python benchmarks/extraction.py overhead --models vit    # a part of it
    python benchmarks/extraction.py memory --stimuli 1000 73000

Networks have the published sizes and random weights, and are loaded as studies load them. Times are
of the processor, one thread; what is compared is interleaved in one process; ratios are medians.
Memory is the peak resident size of a process of its own, less what it was before the passes.

    overhead     every block read and written to stores / bare forward passes over the same batches;
                 and, from within one run, the time that is not the network's
    granularity  one job a layer / one job for all layers (passes only, without loading)
    depth        reading one layer at 25, 50, 75 % of the depth / reading the last
    batches      seconds an input for several batch sizes, and for automatic ones
    selfcheck    time of reading inputs again / time of the rest of an extraction of 1,000 stimuli,
                 for small networks; for the published sizes estimated from a few stimuli
    memory       at several numbers of stimuli
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from convergent.brains import StimulusSet
from convergent.extraction import Settings, extract_rows
from convergent.models import LoadedModel, load, make_manifest
from convergent.store import RowFile, open_store, write_store
from convergent.study import Checkpoint, Layer, Model

PARTS = ("overhead", "granularity", "depth", "batches", "selfcheck", "memory")
RANDOM = Checkpoint("random-0", "random", None, "", "", 0, True)


def model_of(name: str, folder: Path) -> Model:
    """A row for a network of a published size, or a small one, whose files are in a folder."""
    sizes = {"gpt2": 768, "vit": 768, "small-gpt2": 64, "small-vit": 64}
    depth = 4 if name.startswith("small") else 12
    vision, width = name.endswith("vit"), sizes[name]
    side = 32 if name.startswith("small") else 224
    if vision:
        arguments = {"img_size": 32, "patch_size": 4, "embed_dim": 64, "depth": 4, "num_heads": 2}
        card = {
            "architecture": "vit_base_patch16_224",
            "num_classes": 0,
            "model_args": arguments if name.startswith("small") else {},
            "pretrained_cfg": {"input_size": [3, side, side], "mean": [0.5] * 3, "std": [0.5] * 3},
        }
        (folder / "config.json").write_text(json.dumps(card))
    else:
        from transformers import GPT2Config

        GPT2Config(n_embd=width, n_layer=depth, n_head=width // 64).save_pretrained(folder)
        _tokenizer(folder)
    paths = [f"{'blocks' if vision else 'h'}.{number}" for number in range(depth)]
    layers = tuple(Layer(path, number, 0.0, width) for number, path in enumerate(paths))
    return Model(
        key=name, family=name, modality="vision" if vision else "language",
        source="timm" if vision else "transformers", reference=f"path:{folder}", architecture="",
        revision="", parameters=0, layers=layers,
        layout="tokens", pooling="flatten" if name == "small-vit" else "mean", precision="float32",
        preprocessing={}, attention="" if vision else "causal", tags=(), checkpoints=(RANDOM,),
    )  # fmt: skip


def _tokenizer(folder: Path) -> None:
    """A token a byte, in the vocabulary of GPT-2's size."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=128).save_pretrained(folder)


def opened(model: Model) -> LoadedModel:
    """Load a network as a study does."""
    loaded = load(model, RANDOM, make_manifest(model, RANDOM))
    assert isinstance(loaded, LoadedModel)
    return loaded


def stimuli_of(model: Model, count: int, folder: Path | None = None) -> StimulusSet:
    """Images of noise, in a store if there is a folder for it; or lines of documentation."""
    rng = np.random.default_rng(0)
    ids = np.array([f"s{number:06d}" for number in range(count)])
    if model.modality == "language":
        from pydoc_data.topics import topics

        words = " ".join(topics.values()).split()
        lengths = rng.integers(4, 16, count)
        starts = rng.integers(0, len(words) - 16, count)
        texts = (" ".join(words[s : s + n]) for s, n in zip(starts, lengths, strict=True))
        return StimulusSet("topics", "language", "items", ids, texts=tuple(texts))
    side = 32 if model.key.startswith("small") else 224
    if folder is None:
        images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        return StimulusSet("noise", "vision", "items", ids, images=images)
    with RowFile(folder, (count, side, side, 3), "uint8") as rows:
        for start in range(0, count, 500):
            some = np.arange(start, min(start + 500, count))
            rows.write(some, rng.integers(0, 256, (len(some), side, side, 3), dtype=np.uint8))
        axes = ("stimulus", "y", "x", "channel")
        write_store(folder / "stimuli.zarr.zip", "stimuli", {"images": (axes, rows)}, {})
    stored = open_store(folder / "stimuli.zarr.zip", "stimuli", lazy=("images",))
    return StimulusSet("noise", "vision", "items", ids, images=stored["images"])


def engine(
    model: Model,
    loaded: LoadedModel,
    stimuli: StimulusSet,
    layers: Sequence[Layer],
    batch: Any,
    folder: Path,
) -> None:
    """What the extraction stage does for one stimulus set."""
    with ExitStack() as files:
        rows: dict[str, RowFile] = {}

        def open_rows(name: str, shape: tuple[int, int], dtype: Any) -> RowFile:
            return rows.setdefault(name, files.enter_context(RowFile(folder, shape, dtype)))

        extract_rows(
            model, RANDOM, layers, stimuli,
            loaded=loaded, open_rows=open_rows, settings=Settings(batch_size=batch),
        )  # fmt: skip
        for name, values in rows.items():
            axes = ("stimulus", "feature")
            arrays = {"features": (axes, values), "stimulus_id": (("stimulus",), stimuli.ids)}
            write_store(folder / f"{name}.zarr.zip", "features", arrays, {})


def prepared(model: Model, loaded: LoadedModel, stimuli: StimulusSet, batch: int) -> list[Any]:
    """The same batches, made beforehand."""
    if loaded.text is None:
        assert stimuli.images is not None
        inputs: Any = stimuli.images
    else:
        coded = loaded.text.encode(stimuli.texts or ())
        inputs = sorted(coded, key=lambda encoding: -len(encoding.ids))
    return [loaded.prepare(inputs[i : i + batch]) for i in range(0, len(stimuli), batch)]


def seconds(call: Callable[[], object]) -> float:
    """Processor time of one call, which other programs on the machine lengthen least."""
    begun = time.process_time()
    call()
    return time.process_time() - begun


def compare(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Times of several calls, interleaved, after one round that counts for nothing."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats + 1):
        for name, call in calls.items():
            took = seconds(call)
            if number:
                times[name].append(took)
    return times


def ratio(times: dict[str, list[float]], name: str, to: str) -> float:
    """Median of the ratios of neighbouring times."""
    return median(a / b for a, b in zip(times[name], times[to], strict=True))


def overhead(name: str, count: int, batch: int, repeats: int, folder: Path) -> None:
    """The engine against bare passes."""
    model = model_of(name, folder)
    loaded, stimuli = opened(model), stimuli_of(model, count)
    batches = prepared(model, loaded, stimuli, batch)
    calls: dict[str, Callable[[], object]] = {
        "bare": lambda: [loaded.forward(each) for each in batches],
        "engine": lambda: engine(model, loaded, stimuli, model.layers, batch, folder),
    }
    times = compare(calls, repeats)
    share = ratio(times, "engine", "bare") - 1
    own = median(own_share(model, loaded, stimuli, batch, folder) for _ in range(repeats))
    print(
        f"overhead     {name}: bare {median(times['bare']):.2f} s, engine with {len(model.layers)} "
        f"layers {median(times['engine']):.2f} s, overhead {share:+.1%}; inside one run, what the "
        f"engine adds to the network's own time: {own:.1%}", flush=True,
    )  # fmt: skip


def own_share(
    model: Model, loaded: LoadedModel, stimuli: StimulusSet, batch: int, folder: Path
) -> float:
    """Time of the engine that is not the network's, over the network's, within one run."""
    from convergent.extraction import passes as _network

    spent = {"network": 0.0, "pooling": 0.0}

    def timed(call: Callable[..., Any], where: str) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            begun = time.process_time()
            try:  # reading the last layer ends a pass by an exception
                return call(*arguments, **named)
            finally:
                spent[where] += time.process_time() - begun

        return run

    pool = _network.pool
    _network.pool = timed(pool, "pooling")
    try:
        whole = seconds(
            lambda: engine(
                model, replace(loaded, run=timed(loaded.run, "network")), stimuli, model.layers,
                batch, folder,
            )
        )  # fmt: skip
    finally:
        _network.pool = pool
    network = spent["network"] - spent["pooling"]
    return (whole - network) / network


def granularity(name: str, count: int, batch: int, repeats: int, folder: Path) -> None:
    """One job a layer against one for all."""
    model = model_of(name, folder)
    loaded, stimuli = opened(model), stimuli_of(model, count)

    def run(layers: Sequence[Layer]) -> None:
        engine(model, loaded, stimuli, layers, batch, folder)

    calls: dict[str, Callable[[], object]] = {
        "checkpoint": lambda: run(model.layers),
        "layer": lambda: [run([layer]) for layer in model.layers],
    }
    times = compare(calls, repeats)
    print(
        f"granularity  {name}: {len(model.layers)} layer jobs {median(times['layer']):.2f} s, one "
        f"checkpoint job {median(times['checkpoint']):.2f} s, ratio "
        f"{ratio(times, 'layer', 'checkpoint'):.2f}", flush=True,
    )  # fmt: skip


def depth(name: str, count: int, batch: int, repeats: int, folder: Path) -> None:
    """Early exit."""
    model = model_of(name, folder)
    loaded, stimuli = opened(model), stimuli_of(model, count)

    def reading(layer: Layer) -> Callable[[], object]:
        return lambda: engine(model, loaded, stimuli, [layer], batch, folder)

    number = len(model.layers)
    calls = {f"{q} %": reading(model.layers[number * q // 100 - 1]) for q in (25, 50, 75, 100)}
    times = compare(calls, repeats)
    shares = ", ".join(f"{q}: {ratio(times, q, '100 %'):.1%}" for q in list(calls)[:-1])
    print(f"depth        {name}: share of a full pass at {shares}", flush=True)


def batches(name: str, count: int, batch: int, repeats: int, folder: Path) -> None:
    """Throughput by batch size."""
    model = model_of(name, folder)
    loaded, stimuli = opened(model), stimuli_of(model, count)

    def reading(size: Any) -> Callable[[], object]:
        return lambda: engine(model, loaded, stimuli, model.layers[-1:], size, folder)

    sizes = [size for size in (1, 4, 8, 16, 32, 64) if size <= count]
    times = compare({str(size): reading(size) for size in [*sizes, "auto"]}, repeats)
    found = ", ".join(f"{size}: {1000 * median(t) / count:.1f}" for size, t in times.items())
    print(f"batches      {name}: milliseconds an input by batch size: {found}", flush=True)


def selfcheck(name: str, count: int, batch: int, repeats: int, folder: Path) -> None:
    """Time inside the check over the rest of an extraction of 1,000 stimuli."""
    for network, number in ((f"small-{name}", 1000), (name, count)):
        place = folder / network
        place.mkdir()
        model = model_of(network, place)
        loaded, stimuli = opened(model), stimuli_of(model, number)
        found = [checking(model, loaded, stimuli, batch, place) for _ in range(repeats)]
        ratios = [check / (rest / number * 1000) for check, rest in found]
        check = median(check for check, _ in found)
        print(
            f"selfcheck    {network}: {1000 * check:.0f} ms inside the check, of an extraction of "
            f"1,000 stimuli {median(ratios):.2%}{'' if number == 1000 else ' (estimated)'}",
            flush=True,
        )


def checking(
    model: Model, loaded: LoadedModel, stimuli: StimulusSet, batch: int, folder: Path
) -> tuple[float, float]:
    """Processor seconds of one extraction that are the check's, and the others."""
    from convergent.extraction.selfcheck import SelfCheck

    spent, call = [0.0], SelfCheck.__call__

    def timed(*arguments: Any) -> None:
        spent[0] += seconds(lambda: call(*arguments))

    SelfCheck.__call__ = timed  # type: ignore[method-assign]
    try:
        whole = seconds(lambda: engine(model, loaded, stimuli, model.layers, batch, folder))
    finally:
        SelfCheck.__call__ = call  # type: ignore[method-assign]
    return spent[0], whole - spent[0]


def one_memory(name: str, count: int, folder: Path) -> None:
    """Print the peak of this process in MiB, before and after."""
    model = model_of(name, folder)
    loaded, stimuli = opened(model), stimuli_of(model, count, folder)
    engine(model, loaded, stimuli_of(model, 64), model.layers, "auto", folder)  # libraries warm up
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    engine(model, loaded, stimuli, model.layers, "auto", folder)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    features = sum(path.stat().st_size for path in folder.glob("*.*.zarr.zip")) / 2**20
    print(json.dumps({"before": before, "after": after, "features": features}))


def memory(name: str, counts: Sequence[int]) -> None:
    """Peak memory, each in a process of its own."""
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "one", name, str(count), folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"memory       {name}: {count:,} stimuli, {found['features']:,.0f} MiB of stores: peak "
            f"{found['after']:.0f} MiB, {found['after'] - found['before']:+.0f} MiB over the peak "
            "of 64 stimuli", flush=True,
        )  # fmt: skip


def main() -> None:
    """Run the parts that were asked for."""
    if sys.argv[1:2] == ["one"]:
        one_memory(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[], choices=[*PARTS, []])
    parser.add_argument("--models", nargs="*", default=["gpt2", "vit"], choices=["gpt2", "vit"])
    parser.add_argument("--count", type=int, default=0, help="stimuli; by model unless given")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--stimuli", nargs="*", type=int, default=[1000, 20000])
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread, batches of "
          f"{options.batch}, {options.repeats} repeats", flush=True)  # fmt: skip
    timed = {
        "overhead": overhead, "granularity": granularity, "depth": depth, "batches": batches,
        "selfcheck": selfcheck,
    }  # fmt: skip
    for part in options.parts or PARTS:
        if part == "memory":
            for name in options.models:
                memory(f"small-{name}", options.stimuli)
            continue
        for name in options.models:
            count = options.count or {"gpt2": 16, "vit": 8}[name]
            with tempfile.TemporaryDirectory() as folder:
                timed[part](name, count, options.batch, options.repeats, Path(folder))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
