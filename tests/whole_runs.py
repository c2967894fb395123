"""A run that has everything a picture or a page can show, made by hand: known figures, a disturbed turn, a failure."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from factories import (
    make_accuracy,
    make_baseline,
    make_cell,
    make_errors,
    make_failure,
    make_memory,
    make_processes,
    make_slice,
    make_speed,
    make_worker,
    select_all,
)

from bench.analysis.selection import Selection
from bench.plan.cells import BackendName
from bench.records.schema import Record

NOISE = (0.98, 1.0, 1.01, 0.99, 1.02)
EPOCH_S: dict[BackendName, float] = {"jax": 0.01, "torch": 0.1, "tensorflow": 0.1005}
BACKENDS: tuple[BackendName, ...] = ("jax", "torch", "tensorflow")


def timings(
    models: Sequence[str] = ("lstm", "simple_rnn"),
    lengths: Sequence[int] = (4, 12),
    backends: Sequence[BackendName] = BACKENDS,
    noise: Sequence[float] = NOISE,
    **start: Any,
) -> list[Record]:
    """Make five processes of each cell; jax starts later and is ten times as fast, the others are alike."""
    records: list[Record] = []
    for model, length, backend in product(models, lengths, backends):
        seconds = [EPOCH_S[backend] * length / 4 * one for one in noise]
        if backend == "tensorflow":  # another order of the same noise: its ratio to torch is none but 1
            seconds = [EPOCH_S["torch"] * length / 4 * one for one in [*noise[1:], noise[0]]]
        known = {"import_s": 5.0 if backend == "jax" else 2.5} | start
        records += make_processes(make_cell(backend, model, length), seconds=seconds, rounds=2, **known)
    return records


def controls(noise: Sequence[float] = NOISE) -> list[Record]:
    """Make a control of jax at length 4 whose ratio to its cell is 1 on the whole."""
    cell = make_cell("jax", "lstm", 4)
    return [*make_processes(cell, seconds=[EPOCH_S["jax"] * one for one in noise[::-1]], rounds=2, twin=True)]


def trainings(models: Sequence[str] = ("lstm", "simple_rnn"), seeds: int = 5) -> list[Record]:
    """Make five seeds of each cell; an LSTM gets 90 % of the sums, any other model 60 %."""
    records: list[Record] = []
    for model, length, backend, seed in product(models, (4, 12), ("jax", "torch"), range(seeds)):
        good = model == "lstm"
        test = make_errors((0.1 if good else 1.0) * (1 + seed / 10), exact_sum_rate=0.9 if good else 0.6)
        memory = make_memory(tuple((0.99 if good else 0.8) ** k for k in range(length)))
        losses = [10.0 / (1 + epoch) for epoch in range(6 + seed)]
        cell = make_cell(backend, model, length)  # type: ignore[arg-type]
        records.append(make_accuracy(cell, seed=seed, patience=20, val_loss=losses, test=test, memory=memory))
    return records


def ceilings(noise: Sequence[float] = NOISE) -> list[Record]:
    """Make a ceiling of torch at both lengths that takes half as long as Keras."""
    return [
        record
        for length in (4, 12)
        for record in make_processes(
            make_cell("torch", "lstm", length, implementation="ceiling"),
            seconds=[EPOCH_S["torch"] * length / 8 * one for one in noise],
            rounds=2,
        )
    ]


def whole_records() -> list[Record]:
    """Make speed, controls, a disturbed turn, accuracy, baselines and a failure."""
    noisy = make_speed(
        make_cell("jax", "lstm", 4),
        process=5,
        import_s=5.0,
        slices=[make_slice((0.01,), number=0), make_slice((0.02,), number=1, others_cpu_s=0.4)],
    )
    lost = make_failure(make_cell("torch", "gru", 12), reason="ended with exit code -9")
    return [*timings(), *controls(), noisy, *trainings(), make_baseline("mean", 4), make_baseline("mean", 12), lost]


def whole_selection(*more: Record) -> Selection:
    """Select a whole run of three backends, and more records if they are given."""
    workers = tuple(make_worker(backend) for backend in BACKENDS)
    return select_all(*whole_records(), *more, workers=workers)
