"""Ridge with alpha chosen per target: this package against himalaya and scikit-learn.

    python benchmarks/ridge.py                       # four sizes, one thread; half an hour
    python benchmarks/ridge.py --sizes 0 --alphas 40
    python benchmarks/ridge.py --nested              # 8 subjects who saw the same stimuli
    python benchmarks/ridge.py --stream              # 300,000 targets from a file
    python benchmarks/ridge.py --sweep               # share of the machine's own rate of products

One run, methods interleaved, each in a process of its own that makes the data, reads its memory,
and then fits, predicts a test set and correlates. Seconds are of the processor with one thread
(what else runs on the machine then counts little), of the clock with several. Features have
power-law spectra, targets independent noise; all methods centre features and none scales them.
Ratios compare medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZES = [(1000, 768, 5000), (1000, 8192, 20000), (3000, 2048, 20000), (5000, 4096, 20000)]
FOLDS = 5
Result = tuple[np.ndarray, np.ndarray]


def data(n: int, p: int, targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features and responses of n training and n / 4 test samples, float32."""
    rng = np.random.default_rng(seed)
    rows, rank = n + n // 4, min(n, p)
    axes = rng.standard_normal((rows, rank), dtype=np.float32)
    axes *= np.arange(1, rank + 1, dtype=np.float32) ** -0.5
    x = axes @ rng.standard_normal((rank, p), dtype=np.float32)
    x /= x.std()
    signal = axes @ rng.standard_normal((rank, targets), dtype=np.float32)
    signal /= signal.std(axis=0)
    noise = rng.standard_normal((rows, targets), dtype=np.float32)
    return x, signal * rng.uniform(0, 1, targets).astype(np.float32) + noise


def folds(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shuffled K-fold of the training samples."""
    parts = np.array_split(np.random.default_rng(1).permutation(n), FOLDS)
    return [(np.setdiff1d(np.arange(n), part), np.sort(part)) for part in parts]


def ours(selection: str, dtype: str = "float32") -> Callable[..., Result]:
    """Make a fit with this package."""
    from convergent.alignment import Split, fit_ridge

    def run(x: np.ndarray, y: np.ndarray, n: int, alphas: np.ndarray) -> Result:
        split = Split(np.arange(n), np.arange(n, len(x)))
        found = fit_ridge(
            x,
            y,
            [split],
            design="items",
            alphas=alphas,
            selection=selection,
            inner_splits=lambda _: [Split(a, b) for a, b in folds(n)],
            standardize=False,
            dtype=dtype,
        )
        return found.fold_r[0], found.alpha[0]

    return run


def himalaya(kind: str) -> Callable[..., Result]:
    """Make a fit with himalaya's torch backend."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score

    set_backend("torch")

    def run(x: np.ndarray, y: np.ndarray, n: int, alphas: np.ndarray) -> Result:
        mean = x[:n].mean(axis=0)
        x = x - mean
        offset = y[:n].mean(axis=0)
        options = {"warn": False}
        if kind == "primal":
            model = RidgeCV(alphas, fit_intercept=True, cv=folds(n), solver_params=options)
            model.fit(x[:n], y[:n])
        else:
            model = KernelRidgeCV(alphas, kernel="linear", cv=folds(n))
            model.fit(x[:n], y[:n] - offset)
        prediction = model.predict(x[n:])
        return np.asarray(correlation_score(y[n:], prediction)), np.asarray(model.best_alphas_)

    return run


def scikit_learn() -> Callable[..., Result]:
    """Make a fit with scikit-learn's leave-one-out."""
    from sklearn.linear_model import RidgeCV

    def run(x: np.ndarray, y: np.ndarray, n: int, alphas: np.ndarray) -> Result:
        model = RidgeCV(alphas, alpha_per_target=True).fit(
            x[:n].astype(np.float64), y[:n].astype(np.float64)
        )
        prediction = model.predict(x[n:].astype(np.float64))
        p, t = prediction - prediction.mean(axis=0), y[n:] - y[n:].mean(axis=0)
        r = (p * t).sum(axis=0) / np.sqrt((p**2).sum(axis=0) * (t**2).sum(axis=0))
        return r, model.alpha_

    return run


METHODS: dict[str, Callable[[], Callable[..., Result]]] = {
    "gcv": lambda: ours("gcv"),
    "loo": lambda: ours("loo"),
    "folds": lambda: ours("folds"),
    "himalaya RidgeCV": lambda: himalaya("primal"),
    "himalaya KernelRidgeCV": lambda: himalaya("dual"),
    "scikit-learn": scikit_learn,
}


def measured(call: Callable[[], Result]) -> dict[str, object]:
    """Seconds, and GiB beyond what the process held before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is held now
    before = memory("VmRSS")
    begun = now()
    r, alpha = call()
    seconds = now() - begun
    return {
        "seconds": seconds,
        "memory": memory("VmHWM") - before,
        "r": r.tolist(),
        "alpha": np.log10(alpha).tolist(),
    }


def now() -> float:
    """Seconds of this process's processor with one thread, else of the clock."""
    import torch

    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def memory(name: str) -> float:
    """Resident memory now (VmRSS) or at most (VmHWM), GiB; Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 2**20


def grid(alphas: int) -> np.ndarray:
    """Return the penalties."""
    return np.logspace(-1, 8, alphas)


def single(method: str, size: tuple[int, int, int], alphas: int) -> dict[str, object]:
    """One fit."""
    x, y = data(*size)
    run = METHODS[method]()
    small = data(40, 20, 10)
    run(*small, 40, np.array([1.0, 10.0, 100.0]))  # imports and first calls
    return measured(lambda: run(x, y, size[0], grid(alphas)))


def nested(method: str, size: tuple[int, int, int], alphas: int) -> dict[str, object]:
    """Five outer folds of eight subjects."""
    from convergent.alignment import Problem, Split, fit_subjects

    n, p, targets = size
    subjects = [data(n, p, targets, seed=seed)[1][:n] for seed in range(8)]
    x = data(n, p, 1)[0][:n]
    run = METHODS[method]()

    def peers() -> Result:
        r, alpha = [], []
        for y in subjects:
            for train, test in folds(n):
                rows = np.concatenate([train, test])
                one = run(x[rows], y[rows], train.size, grid(alphas))
                r.append(one[0])
                alpha.append(one[1])
        return np.concatenate(r), np.concatenate(alpha)

    def shared() -> Result:
        found = fit_subjects(
            x,
            [Problem(y) for y in subjects],
            [Split(a, b) for a, b in folds(n)],
            design="items",
            alphas=grid(alphas),
            selection=method,
            inner_splits=lambda rows: [Split(rows[a], rows[b]) for a, b in folds(rows.size)],
            standardize=False,
            dtype="float32",
        )
        return (
            np.concatenate([f.fold_r.ravel() for f in found]),
            np.concatenate([f.alpha.ravel() for f in found]),
        )

    return measured(shared if method in ("gcv", "loo", "folds") else peers)


class OnDisk:
    """Responses in a file, target after target; a slice of targets is read when asked for.

    Not a memory map, whose pages would count as memory of the process.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        start, stop, _ = key[1].indices(self.shape[1])
        rows = self.shape[0]
        values = np.fromfile(self.path, "<f4", (stop - start) * rows, offset=4 * start * rows)
        return values.reshape(stop - start, rows).T


def stream(method: str, size: tuple[int, int, int], alphas: int) -> dict[str, object]:
    """Responses on disk, read a block of targets at a time."""
    n, p, targets = size
    x, some = data(n, p, 1000)
    with tempfile.TemporaryDirectory() as folder:
        y = OnDisk(Path(folder) / "responses", (len(x), targets))
        with y.path.open("wb") as file:
            for _ in range(0, targets, 1000):
                some.T.astype("<f4").tofile(file)
        del some
        return measured(lambda: METHODS[method]()(x, y, n, grid(alphas)))


def sweep(size: tuple[int, int, int], alphas: int) -> None:
    """Rate at which inner folds are swept, every operation on responses timed, few counted."""
    import torch

    from convergent.alignment import Split
    from convergent.alignment.ridge.folds import InnerFolds
    from convergent.alignment.ridge.space import source
    from convergent.alignment.ridge.targets import block_of

    n, p, targets = size
    x, y = data(n, p, targets)
    split = Split(np.arange(n), np.arange(n, len(x)))
    inner = [Split(a, b) for a, b in folds(n)]
    device, dtype = torch.device("cpu"), torch.float32
    fold = InnerFolds(
        source(torch.from_numpy(x), device, scale=False, folds=1), split, inner, grid(alphas),
        dtype=dtype,
    )  # fmt: skip
    blocks = [
        block_of(torch.from_numpy(y[:, start : start + 1000].T.copy()), split, dtype)
        for start in range(0, targets, 1000)
    ]
    fold.score(blocks[0])
    best = gemm_rate()
    begun = now()
    for block in blocks:
        fold.score(block)
    seconds = now() - begun
    products = sum(inner.map.numel() for inner in fold._maps)  # multiplications a target
    products += sum(inner.basis.numel() for inner in fold._maps if inner.basis is not None)
    products += n * (len(x) - n)  # held-out predictions, by one map an alpha
    rate = 2 * products * targets / seconds / 1e9
    print(f"sweep: n {n}, features {p}, targets {targets}: {rate:.0f} of {best:.0f} GFLOP/s, "
          f"{100 * rate / best:.0f} %")  # fmt: skip


def gemm_rate() -> float:
    """This machine's own float32 products, GFLOP/s."""
    import torch

    a = torch.randn(2048, 2048)
    best = 0.0
    for _ in range(5):
        begun = now()
        a @ a
        best = max(best, 2 * 2048**3 / (now() - begun) / 1e9)
    return best


def child(arguments: argparse.Namespace, what: str, method: str, size: int) -> dict[str, object]:
    """Run one method in a process of its own."""
    threads = str(arguments.threads)
    command = [sys.executable, __file__, "--threads", threads, "--alphas", str(arguments.alphas)]
    command += ["--child", what, method, str(size)]
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    env |= {"OPENBLAS_NUM_THREADS": threads}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


NESTED = [(1000, 768, 360), (1000, 768, 2000)]
STREAM = [(5000, 2048, 300_000), (5000, 768, 20_000)]


def compare(arguments: argparse.Namespace, what: str, size: int, methods: list[str]) -> None:
    """Interleave, and print medians and ratios."""
    shape = {"single": SIZES, "nested": NESTED, "stream": STREAM}[what][size]
    runs: dict[str, list[dict[str, object]]] = {method: [] for method in methods}
    for _ in range(arguments.repeats):
        for method in methods:
            runs[method].append(child(arguments, what, method, size))
    seconds = {m: float(np.median([r["seconds"] for r in found])) for m, found in runs.items()}
    memory = {m: max(float(r["memory"]) for r in found) for m, found in runs.items()}  # type: ignore[arg-type]
    n, p, targets = shape
    print(f"\n{what}: n {n}, features {p}, targets {targets}, {arguments.alphas} alphas, "
          f"{arguments.threads} thread(s)")  # fmt: skip
    peers = {m: s for m, s in seconds.items() if m.startswith("himalaya")}
    best = min(peers, key=lambda m: peers[m]) if peers else None
    exact = "himalaya RidgeCV"  # fits the intercept in every fold, as ours do
    reference = runs[exact if exact in runs else best or methods[0]][0]
    for method in methods:
        found = runs[method][0]
        line = f"  {method:24s}{seconds[method]:9.2f} s {memory[method]:7.2f} GiB"
        line += f"   mean r {np.nanmean(found['r']):.4f}"  # type: ignore[arg-type]
        if best and method not in peers:
            same = np.isclose(found["alpha"], reference["alpha"], atol=1e-3)  # type: ignore[arg-type]
            line += f"   {peers[best] / seconds[method]:6.2f}x {best}"
            line += f" (memory {memory[best] / max(memory[method], 1e-3):.1f}x less,"
            line += f" alphas of its RidgeCV {100 * same.mean():.1f} %)"
        if method == "loo" and "scikit-learn" in seconds:
            line += f"   {seconds['scikit-learn'] / seconds[method]:.1f}x scikit-learn"
        print(line, flush=True)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--alphas", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        import torch

        torch.set_num_threads(arguments.threads)
        what, method, size = arguments.child
        runner = {"single": single, "nested": nested, "stream": stream}[what]
        shape = {"single": SIZES, "nested": NESTED, "stream": STREAM}[what][int(size)]
        print(json.dumps(runner(method, shape, arguments.alphas)))
        return
    import torch

    torch.set_num_threads(arguments.threads)
    print(f"float32 products here: {gemm_rate():.0f} GFLOP/s with {arguments.threads} thread(s)")
    if arguments.sweep:
        for size in arguments.sizes:
            sweep(SIZES[size], arguments.alphas)
    elif arguments.nested:
        for size in range(len(NESTED)):
            compare(
                arguments, "nested", size, [m for m in arguments.methods if m != "scikit-learn"]
            )
    elif arguments.stream:
        for size in range(len(STREAM)):
            compare(arguments, "stream", size, ["gcv"])
    else:
        for size in arguments.sizes:
            slow = {"scikit-learn"} if SIZES[size][0] >= 5000 else set()
            compare(arguments, "single", size, [m for m in arguments.methods if m not in slow])


if __name__ == "__main__":
    main()
