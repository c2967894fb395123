"""What the cases share: their options, the run they write, and the storage of their backend.

A pytest plugin, loaded early by `-p bench.cases.plugin` so that its options are known. The cases time the same workers
as `seqsum run` does: pytest itself imports no framework.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.utils import get_tag
from rich.console import Console

from bench.errors import UserError
from bench.host import describe_machine, typed_command
from bench.measure.accuracy import train_for_accuracy
from bench.measure.environments import TOX_ENVIRONMENT
from bench.measure.executor import begun_s, check_devices, prepare_pool
from bench.measure.pool import WorkerPool
from bench.measure.progress import Progress
from bench.measure.run import new_header
from bench.measure.turns import Block
from bench.plan.cells import BACKENDS, BackendName, Cell, backend_of, check_environment
from bench.plan.files import read_profile, read_sweep
from bench.plan.sweep import Sweep
from bench.records import store
from bench.records.schema import Accuracy, Header, Record
from bench.records.store import RunWriter
from seqsum_core.settings import VariantSettings

SWEEP = pytest.StashKey[Sweep]()
"""The cells that the options ask for; only where `--benchmark-only` is given."""

HOW_LONG = "The workers measure, for as long as [timing] in a sweep file says: use --sweep FILE."
PROFILED = "It would profile pytest, not the worker: use the profiler of the backend in a script of your own."
UNRECEIVED = {
    **dict.fromkeys(("min-time", "max-time", "min-rounds", "precision", "confidence"), HOW_LONG),
    **dict.fromkeys(("timer", "calibration-precision", "warmup", "warmup-iterations", "disable-gc"), HOW_LONG),
    **dict.fromkeys(("cprofile", "cprofile-loops", "cprofile-top", "cprofile-dump"), PROFILED),
}
"""Options of pytest-benchmark, after `--benchmark-`, that reach no worker, and what to do instead."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the cases."""
    group = parser.getgroup("seqsum")
    group.addoption("--profile", default="smoke", help="Cells to run: smoke (default), standard or full.")
    group.addoption("--sweep", type=Path, default=None, help="A sweep file (TOML) instead of a profile.")
    group.addoption("--device", default="cpu", help="cpu (default) or gpu.")
    group.addoption("--results", type=Path, default=Path("results"), help="Folder of all runs.")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each backend a storage of its own and save every session in it."""
    if not config.getoption("benchmark_only"):
        return
    try:
        check_options([*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *config.invocation_params.args])
        backend = this_backend()
        # a case has turns of its own, without other cells: nothing a control could show
        changes = {"backends": [backend], "device": config.getoption("device"), "timing": {"control": "none"}}
        file = config.getoption("sweep")
        sweep = read_sweep(file, changes) if file else read_profile(config.getoption("profile"), changes)
    except UserError as error:
        pytest.exit(f"seqsum: {error}", returncode=2)
    config.stash[SWEEP] = sweep
    option: Any = config.option
    if option.benchmark_storage == os.environ.get("PYTEST_BENCHMARK_STORAGE", "file://./.benchmarks"):  # the default
        option.benchmark_storage = f"file://.benchmarks/{backend}"
    option.benchmark_autosave = None if option.collectonly else get_tag()  # type: ignore[no-untyped-call]


def check_options(arguments: Sequence[str]) -> None:
    """Raise `UserError` for an option of pytest-benchmark that would be ignored, or would fail after measuring."""
    for argument in arguments:
        prefix, _, name = argument.partition("=")[0].partition("--benchmark-")
        if not prefix and name in UNRECEIVED:
            raise UserError(f"`--benchmark-{name}` does not reach what is measured. {UNRECEIVED[name]}")
        if not prefix and name == "histogram" and not find_spec("pygal"):
            raise UserError("`--benchmark-histogram` needs pygal. Add it: pip install 'pytest-benchmark[histogram]'")


def this_backend() -> BackendName:
    """Return KERAS_BACKEND, or the only backend installed; a UserError if that leaves none."""
    installed = [backend for backend in BACKENDS if find_spec(backend)]
    here = f"this environment has {', '.join(installed) or 'no backend'}"
    wanted = os.environ.get("KERAS_BACKEND")
    if not wanted and len(installed) == 1:
        return installed[0]
    if not wanted:
        remedy = "Choose one with KERAS_BACKEND." if installed else "Install one, or use: tox -e jax,torch,tf"
        raise UserError(f"`KERAS_BACKEND` is needed where there is not one backend; {here}. Received: none. {remedy}")
    try:
        backend = backend_of(check_environment(wanted))
    except ValueError as error:
        raise UserError(str(error)) from None
    if backend not in installed:
        tox = TOX_ENVIRONMENT[backend]
        raise UserError(f"`KERAS_BACKEND` is {wanted}, but {here}. Unset it, or use: tox -e {tox}")
    return backend


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Run either tests or benchmark cases: one asks whether it works, the other how fast."""
    cases = Path(__file__).parent
    is_case = collection_path.is_relative_to(cases)
    if config.getoption("benchmark_only"):
        return None if is_case or cases.is_relative_to(collection_path) else True
    return True if is_case else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one case of every cell."""
    if "cell" in metafunc.fixturenames:
        sweep = metafunc.config.stash.get(SWEEP, None)
        cells = sweep.cells() if sweep else []
        metafunc.parametrize("cell", cells, ids=map(case_name, cells))


def case_name(cell: Cell) -> str:
    """Name a cell without its backend: pytest-benchmark compares the storages of backends by the names of cases."""
    threads = [] if cell.threads == 1 else [str(cell.threads)]
    variant = [] if cell.variant == VariantSettings() else [str(cell.variant).replace(", ", "-").replace(" ", "_")]
    return "-".join([cell.model, str(cell.length), *threads, *variant])


@dataclass(frozen=True)
class CaseRun:
    """The run that the cases of a session write; the sweep of its header holds the cells that were selected."""

    header: Header
    writer: RunWriter
    pool: WorkerPool

    def time_cell(self, cell: Cell) -> list[Record]:
        """Time a cell in fresh processes, one after another; return a record or failure of each."""
        records: list[Record] = []
        for process in range(self.header.sweep.timing.processes):
            Block(
                self.header.sweep.turns([cell], process=process),
                self.pool,
                order_seed=self.header.order_seed,
                begun_s=begun_s(self.header),
                begins=lambda trial: None,
                ends=lambda trial, record: records.append(record),
            ).measure()
        for record in records:
            self.writer.append(record)
        return records

    def trainings(self, cell: Cell) -> list[Accuracy]:
        """Return what the accuracy trials of a cell left."""
        return [record for record in self.writer.records if isinstance(record, Accuracy) and record.cell == cell]


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Iterator[CaseRun]:
    """Open a run and train every selected cell for its accuracy; the cases append their times."""
    config = request.config
    sweep = _selected(config.stash[SWEEP], request.session)
    file: Path | None = config.getoption("sweep")
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    progress = Progress(Console(stderr=True, force_terminal=False))
    profile = file.stem if file else config.getoption("profile")
    results: Path = config.getoption("results")
    try:
        check_devices(sweep)
        store.check_writable(results)
        with WorkerPool({sweep.backends[0]: sys.executable}, limits=sweep.limits, runtime=sweep.runtime) as pool:
            with capture.global_and_fixture_disabled():
                prepared = prepare_pool(pool, sweep, progress.say)
            header = new_header(sweep, prepared, profile=profile, command=typed_command("pytest"), harness="pytest")
            with closing(store.start_run(results, header)) as writer:
                with capture.global_and_fixture_disabled():
                    groups = sweep.accuracy_groups()
                    progress.begin(groups, slots=pool.slots(sweep.device))
                    train_for_accuracy(sweep, pool, writer, progress)
                    count = sum(len(group.seeds) for group in groups)
                    progress.say(f"Trained {count} times for accuracy; timing follows. Records: {writer.folder}")
                yield CaseRun(header, writer, pool)
    except UserError as error:
        pytest.exit(f"seqsum: {error}", returncode=2)


def _selected(sweep: Sweep, session: pytest.Session) -> Sweep:
    """Return a sweep with the models and lengths of the cases that were selected."""
    parameters = [getattr(getattr(item, "callspec", None), "params", {}) for item in session.items]
    cells: list[Cell] = [cases["cell"] for cases in parameters if "cell" in cases]
    models, lengths = (tuple(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("model", "length"))
    return sweep.model_copy(update={"models": models, "lengths": lengths})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """End with what has been found so far, in this session and before it."""
    if SWEEP not in config.stash or config.option.collectonly:
        return
    from bench.analysis.select import select
    from bench.output.summary import print_summary

    results = config.getoption("results")
    try:
        runs, problems = store.load_runs(results)
    except UserError as error:
        terminalreporter.write_line(f"seqsum: {error}")
        return
    for problem in problems:
        terminalreporter.write_line(problem)
    if runs:
        terminalreporter.section("measured so far")
        print_summary(select(runs), results, Console(width=None if sys.stdout.isatty() else 80, highlight=False))


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add the machine as seqsum describes it to what pytest-benchmark saves, and leave out what it is called."""
    machine_info["node"] = ""
    machine_info["seqsum"] = describe_machine().model_dump(mode="json")
