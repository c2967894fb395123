"""A run that has everything a chart or a page can show, made by hand: known figures, a disturbed turn, a failure."""

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
    make_speed,
    make_turn,
    make_worker,
    select_all,
)

from bench.analysis.select import Selection
from bench.records.schema import Record

NOISE = (0.98, 1.0, 1.01, 0.99, 1.02, 1.005, 0.995)
SHUFFLED = (*NOISE[1:], NOISE[0])
EPOCH_S = {"jax": 0.01, "torch": 0.1, "tensorflow": 0.1}
BACKENDS = tuple(EPOCH_S)


def timings(
    models: Sequence[str] = ("lstm", "simple_rnn"),
    lengths: Sequence[int] = (4, 12),
    backends: Sequence[str] = BACKENDS,
    **variant: Any,
) -> list[Record]:
    """Make seven processes of each cell; jax starts later and is ten times as fast as the others, which are alike."""
    records: list[Record] = []
    for model, length, backend in product(models, lengths, backends):
        noise = SHUFFLED if backend == "tensorflow" else NOISE
        seconds = [EPOCH_S[backend] * length / 4 * factor for factor in noise]
        cell = make_cell(backend, model, length, **variant)
        records += make_processes(cell, seconds=seconds, rounds=2, import_s=5.0 if backend == "jax" else 2.5)
    return records


def controls() -> list[Record]:
    """Make a control of jax at length 4 that is consistent with 1."""
    seconds = [EPOCH_S["jax"] * factor for factor in NOISE[::-1]]
    return [*make_processes(make_cell("jax", "lstm", 4), seconds=seconds, rounds=2, is_control=True)]


def trainings(models: Sequence[str] = ("lstm", "simple_rnn"), seeds: int = 5) -> list[Record]:
    """Make five seeds of each cell; an LSTM gets 90 % of the sums, any other model 60 %."""
    records: list[Record] = []
    for model, length, backend, seed in product(models, (4, 12), ("jax", "torch"), range(seeds)):
        good = model == "lstm"
        test = make_errors((0.1 if good else 1.0) * (1 + seed / 10), right_rate=0.9 if good else 0.6)
        memory = make_memory(tuple((0.99 if good else 0.8) ** k for k in range(length)))
        losses = [10.0 / (1 + epoch) for epoch in range(6 + seed)]
        cell = make_cell(backend, model, length)
        records.append(make_accuracy(cell, seed=seed, patience=20, val_loss=losses, test=test, memory=memory))
    return records


def ceilings() -> list[Record]:
    """Make a ceiling of torch at both lengths whose epochs take half the time of Keras."""
    records: list[Record] = []
    for length in (4, 12):
        cell = make_cell("torch", "lstm", length, implementation="ceiling")
        records += make_processes(cell, seconds=[EPOCH_S["torch"] * length / 8 * factor for factor in NOISE], rounds=2)
    return records


def versions() -> list[Record]:
    """Make a GRU of length 4 on torch and on an older Keras, which takes twice as long."""
    slow = [2 * EPOCH_S["torch"] * factor for factor in SHUFFLED]
    old = make_processes(make_cell("torch@keras==3.13.2", "gru", 4), seconds=slow, rounds=2)
    return [*timings(["gru"], [4], ["torch"]), *old]


def whole_records() -> list[Record]:
    """Make speed, a control, a ceiling, a variant, a disturbed turn, accuracy, baselines and a failure."""
    disturbed = [make_turn((0.01,), number=0), make_turn((0.02,), number=1, others_cpu_s=0.4)]
    noisy = make_speed(make_cell("jax", "lstm", 4), process=7, import_s=5.0, turns=disturbed)
    lost = make_failure(make_cell("torch", "gru", 12), reason="ended with exit code -9")
    baselines = [make_baseline("mean", 4), make_baseline("mean", 12)]
    unrolled = timings(["lstm"], [4], ["torch"], unroll=True)
    return [*timings(), *controls(), *ceilings(), *unrolled, noisy, *trainings(), *baselines, lost]


def whole_selection(*more: Record, **fields: Any) -> Selection:
    """Select a whole run of three backends, and more records if they are given."""
    return select_all(*whole_records(), *more, **{"workers": tuple(map(make_worker, BACKENDS))} | fields)
