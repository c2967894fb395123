"""Whether pytest-benchmark's clock and that of `seqsum run` agree; run only with `--clocks`."""

from typing import Any

import numpy as np

from bench.analysis.statistics import median_ratio
from bench.cases.plugin import fresh_worker, say_interval
from bench.cases.test_training import counted_epochs
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell, Trial
from bench.plan.sweep import Sweep
from bench.worker.messages import Turn


def test_clocks_agree(cell: Cell, benchmark: Any, sweep: Sweep, clocks: list[str]) -> None:
    """A steady epoch by pytest-benchmark's clock against one by `seqsum run`'s: turns of the same fits."""
    timing = sweep.timing
    workers: list[WorkerProcess] = []
    own_s: list[list[float]] = [[] for _ in range(timing.processes)]
    epochs = [0]
    per_turn = _epochs_of_a_turn(cell, sweep)

    def between_rounds() -> None:
        """Leave the clock alone within a turn; before one, let the worker run a turn by its own clock."""
        turn, inside = divmod(epochs[0], per_turn)
        process, number = divmod(turn, timing.rounds)
        epochs[0] += 1
        if inside:
            return
        if number == 0:
            _retire(workers)
            trial = _trial(cell, sweep, process)
            workers.append(fresh_worker(trial, sweep))
            workers[-1].ready()
            workers[-1].park(trial)
        else:
            workers[-1].end_turn()
        own_s[process].append(workers[-1].run_turn(Turn(round=number, epochs=per_turn)).median_s)
        workers[-1].begin_turn(Turn(round=number, epochs=per_turn, tell=True))
        workers[-1].step()  # the warm-up

    try:
        benchmark.group = "clocks"
        rounds = timing.processes * timing.rounds * per_turn
        benchmark.pedantic(lambda: workers[-1].step(), setup=between_rounds, rounds=rounds)
    finally:
        _retire(workers)
    theirs_s = np.reshape(benchmark.stats.stats.data, (timing.processes, timing.rounds, per_turn))
    ratios = [float(np.median(np.median(theirs, axis=1) / own)) for theirs, own in zip(theirs_s, own_s, strict=True)]
    found = median_ratio(ratios)
    value, interval = found.value, found.interval
    benchmark.extra_info.update(
        cell=cell.model_dump(mode="json"),
        pytest_benchmark_s=np.median(theirs_s, axis=2).tolist(),
        seqsum_run_s=own_s,
        ratio=value,
        interval=[interval.low, interval.high],
    )
    clocks.append(
        f"{cell}: pytest-benchmark {1e3 * np.median(theirs_s):.4g} ms, seqsum run {1e3 * np.median(own_s):.4g} ms an "
        f"epoch; ratio {value:.3f}, {say_interval(interval.low, interval.high, '.3f')}"
    )
    assert not (interval.low > 1.1 or interval.high < 0.9), "the two clocks disagree"


def _trial(cell: Cell, sweep: Sweep, process: int) -> Trial:
    return Trial(kind="speed", cell=cell, index=process, settings=sweep.settings)


def _epochs_of_a_turn(cell: Cell, sweep: Sweep) -> int:
    trial = _trial(cell, sweep, 0)
    with fresh_worker(trial, sweep) as worker:
        worker.ready()
        return counted_epochs(sweep.timing.model_copy(update={"rounds": 1}), worker.park(trial).epoch_s)


def _retire(workers: list[WorkerProcess]) -> None:
    while workers:
        workers.pop().__exit__(None, None, None)
