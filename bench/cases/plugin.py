"""What the cases share: the options, the run they write, and the storage of their backend.

A pytest plugin, loaded early by `-p bench.cases.plugin` so that its options are known. The cases
time the same workers as `seqsum run` does: pytest itself imports no framework.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.analysis.selection import select
from bench.errors import UserError
from bench.host import pin, typed_command, usable_cores
from bench.measure import environments as interpreters
from bench.measure import local
from bench.measure.progress import Progress
from bench.measure.run import new_header
from bench.measure.turns import timing_cores, worker_cores
from bench.measure.worker_process import WorkerProcess
from bench.output.printing.output import print_tables
from bench.plan import files as sweeps
from bench.plan.cells import BACKENDS, BackendName, Cell, Trial
from bench.plan.sweep import Sweep
from bench.records import store
from bench.records.schema import Accuracy, Header
from bench.records.store import RunWriter
from seqsum_core.settings import VariantSettings


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the cases."""
    group = parser.getgroup("seqsum")
    group.addoption("--profile", default="smoke", help="Cells to run: smoke (default), standard or full.")
    group.addoption("--sweep", type=Path, default=None, help="A sweep file (TOML) instead of a profile.")
    group.addoption("--device", default="cpu", help="cpu (default) or gpu.")
    group.addoption("--clocks", action="store_true", help="Compare the two clocks, do not time the cells.")
    group.addoption("--results", type=Path, default=Path("results"), help="Folder of all runs.")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each backend a storage of its own and save every session in it."""
    if not config.getoption("benchmark_only"):
        return
    try:
        backend = this_backend()
        config.stash[SWEEP] = read_sweep(config, backend)
    except UserError as error:
        pytest.exit(f"seqsum: {error}", returncode=2)
    option: Any = config.option
    if option.benchmark_storage == parser_default_storage():
        option.benchmark_storage = f"file://.benchmarks/{backend}"
    option.benchmark_autosave = not option.collectonly


SWEEP = pytest.StashKey[Sweep]()
CLOCKS = pytest.StashKey[list[str]]()


def parser_default_storage() -> str:
    """Return what `--benchmark-storage` is unless it was given."""
    return os.environ.get("PYTEST_BENCHMARK_STORAGE", "file://./.benchmarks")


def this_backend() -> BackendName:
    """Find the backend of this environment: KERAS_BACKEND, or the only one installed.

    Raises:
        UserError: if there is none, several and no choice, or the choice is not installed.
    """
    installed = [backend for backend in BACKENDS if find_spec(backend)]
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted:
        backend = interpreters.parse_backend(wanted)
        if backend not in installed:
            raise UserError(
                f"KERAS_BACKEND is {wanted}, but this environment has {', '.join(installed) or 'no backend'}. "
                f"Unset it, or use: tox -e {interpreters.TOX_ENVIRONMENT[backend]}"
            )
        return backend
    if len(installed) != 1:
        raise UserError(
            f"This environment has {', '.join(installed) or 'no backend'}. "
            + ("Choose one with KERAS_BACKEND." if installed else "Install one, or use: tox -e jax,torch,tf")
        )
    return installed[0]


def read_sweep(config: pytest.Config, backend: BackendName) -> Sweep:
    """Read the cells that the options ask for, on this environment's backend."""
    changes = {"backends": [backend], "device": config.getoption("device")}
    file = config.getoption("sweep")
    sweep = sweeps.read_sweep(file, changes) if file else sweeps.read_profile(config.getoption("profile"), changes)
    if sweep.rivals:
        raise UserError(f"`rivals` needs several interpreters. Received: {', '.join(sweep.rivals)}. Use seqsum run.")
    return sweep


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Run either tests or benchmark cases: one asks whether it works, the other how fast."""
    cases = Path(__file__).parent
    is_case = collection_path.is_relative_to(cases)
    if config.getoption("benchmark_only"):
        return None if is_case or cases.is_relative_to(collection_path) else True
    return True if is_case else None


def _case_name(cell: Cell) -> str:
    threads = [] if cell.threads == 1 else [str(cell.threads)]
    variant = [] if cell.variant == VariantSettings() else [str(cell.variant).replace(", ", "-").replace(" ", "_")]
    return "-".join([cell.model, str(cell.length), *threads, *variant])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one case of every cell."""
    if "cell" in metafunc.fixturenames:
        sweep = metafunc.config.stash.get(SWEEP, None)
        asked = metafunc.config.getoption("clocks") == ("clocks" in metafunc.fixturenames)
        cells = sweep.cells() if sweep and asked else []
        names = [_case_name(cell) for cell in cells]
        metafunc.parametrize("cell", cells, ids=names)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases without a cell: those of `--clocks` where it is not given, the others where it is."""
    if SWEEP in config.stash:
        left_out = [item for item in items if "NOTSET" in item.name]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def clocks(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Hold the machine, and print at the end how the clocks compare."""
    lines: list[str] = request.config.stash.setdefault(CLOCKS, [])
    try:
        with local.machine_lock():
            yield lines
    except UserError as error:
        pytest.exit(f"seqsum: {error}", returncode=2)


def say_interval(low: float, high: float, form: str) -> str:
    """Write a 95 % interval, or that there were too few processes for one."""
    return "too few processes for an interval" if low != low else f"95 % interval {low:{form}} to {high:{form}}"


def fresh_worker(trial: Trial, sweep: Sweep) -> WorkerProcess:
    """Start a worker for a speed trial in this interpreter, on the cores that `seqsum run` gives it."""
    cores = usable_cores_at_first()
    pin(timing_cores(trial.cell.threads, cores)[1])
    its_own = worker_cores(trial.cell, cores)
    return WorkerProcess(sys.executable, trial.cell, cores=its_own, limits=sweep.limits, runtime=sweep.runtime)


@cache
def usable_cores_at_first() -> list[int]:
    """List the cores this process could run on before a case pinned it."""
    return usable_cores()


@pytest.fixture(scope="session")
def sweep(request: pytest.FixtureRequest) -> Sweep:
    """Return the cells of this session: those that were selected."""
    whole = request.config.stash[SWEEP]
    cells = [cell for item in request.session.items if (cell := _cell_of(item))]
    return whole.model_copy(
        update={
            "models": tuple(dict.fromkeys(cell.model for cell in cells)),
            "lengths": tuple(dict.fromkeys(cell.length for cell in cells)),
        }
    )


def _cell_of(item: pytest.Item) -> Cell | None:
    return getattr(getattr(item, "callspec", None), "params", {}).get("cell")


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest, sweep: Sweep) -> Iterator[tuple[Header, RunWriter]]:
    """Open a run, train every cell for its accuracy, and let the cases append their times."""
    (backend,) = sweep.backends
    here: dict[str, str] = {backend: sys.executable}
    results = request.config.getoption("results")
    progress = Progress(Console(stderr=True, force_terminal=False))
    capture = request.config.pluginmanager.getplugin("capturemanager")
    try:
        store.check_writable(results)
        with ExitStack() as stack, local.machine_lock(), capture.global_and_fixture_disabled():
            local.check_devices(sweep)
            header = new_header(
                sweep,
                local.prove_here(sweep, here),
                profile=_label(request.config),
                command=typed_command("pytest"),
                harness="pytest",
            )
            writer = stack.enter_context(closing(store.start_run(results, header)))
            progress.begin(sweep.accuracy_groups(), slots=local.slots(sweep))
            local.train_for_accuracy(sweep, here, writer, progress)
            count = len(sweep.accuracy_trials())
            progress.say(f"Trained {count} times for accuracy; timing follows. Records: {writer.folder}")
            yield header, writer
    except UserError as error:
        pytest.exit(f"seqsum: {error}", returncode=2)


def _label(config: pytest.Config) -> str:
    file: Path | None = config.getoption("sweep")
    return file.stem if file else str(config.getoption("profile"))


def accuracy_of(writer: RunWriter, cell: Cell) -> list[Accuracy]:
    """Return what the accuracy trials of a cell found."""
    return [record for record in writer.records if isinstance(record, Accuracy) and record.cell == cell]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """End with the table of what has been measured so far, in this session and before it."""
    if SWEEP not in config.stash or config.option.collectonly:
        return
    if lines := config.stash.get(CLOCKS, []):
        terminalreporter.section("clocks compared")
        for line in lines:
            terminalreporter.write_line(line)
        return
    try:
        runs, problems = store.load_runs(config.getoption("results"))
    except UserError as error:
        terminalreporter.write_line(f"seqsum: {error}")
        return
    for problem in problems:
        terminalreporter.write_line(problem)
    terminalreporter.section("measured so far")
    print_tables(select(runs), [])


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add the machine as seqsum describes it to what pytest-benchmark saves, and leave out what it is called."""
    from bench.host import describe_machine

    machine_info["node"] = ""
    machine_info["seqsum"] = describe_machine().model_dump(mode="json")
