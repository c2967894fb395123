"""A worker without a framework, for tests of the coordinator: `fake_python` makes an interpreter of it.

It speaks the real protocol through the real `bench.worker`; only proving and training are played.
How it behaves is baked into the interpreter's script; "... at 12" behaves so at length 12 only, and
"segfaults in turns" does so when that phase begins, once: the next worker is a good one.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SCRIPT = """#!{python}
import sys
if sys.argv[1] == "-c":
    print('["bench", "seqsum_core", "keras", "jax", "torch", "tensorflow"]')
else:
    del sys.argv[1:3]  # -m bench.worker.__main__
    sys.path.insert(0, {tests!r})
    import fake_worker
    fake_worker.main({behaviour!r})
"""


def fake_python(folder: Path, behaviour: str = "good") -> str:
    """Write an executable that behaves like a Python with every backend, and return its path."""
    path = folder / f"python-{behaviour}"
    path.write_text(SCRIPT.format(python=sys.executable, tests=str(Path(__file__).parent), behaviour=behaviour))
    path.chmod(0o755)
    return str(path)


def main(behaviour: str) -> None:
    from bench.worker import __main__ as worker
    from bench.worker.messages import Ready

    told = worker.Server._report

    def report(server: Any, phase: str) -> None:
        told(server, phase)
        fault_in(behaviour, phase, server._answers)

    worker.Server._report = report  # type: ignore[assignment, method-assign]
    from bench.plan.timing import Runtime
    from bench.records.schema import Worker
    from seqsum_core.settings import require

    def import_backend(backend: str, device: str, runtime: Runtime) -> Ready:
        fault_in(behaviour, "import", sys.stdout)
        if behaviour == "dies at import":
            print("ImportError: no such library", file=sys.stderr)
            sys.exit(3)
        require(behaviour != "no gpu", "`device` gpu was asked for.", device, "Use --device cpu.")
        proved = Worker(
            backend=backend,  # type: ignore[arg-type]
            device=device,  # type: ignore[arg-type]
            device_name="fake",
            threads=1,
            float32_precision="tf32" if runtime.tf32 else "float32",
            deterministic=runtime.deterministic,
            python="3",
            versions={"keras": "0", backend: "0"},
            environment={"KERAS_BACKEND": os.environ["KERAS_BACKEND"]},
        )
        return Ready(worker=proved, import_s=0.01)

    worker.import_backend = import_backend
    import bench

    bench.worker.accuracy = sys.modules["bench.worker.accuracy"] = fake_trials(behaviour)
    bench.worker.speed = sys.modules["bench.worker.speed"] = fake_speed_trials(behaviour)
    sys.modules["seqsum_core.nn.parity"] = fake_parity(behaviour)
    worker.main()


def misbehave(behaviour: str, length: int) -> None:
    """Do what a worker of this behaviour does instead of its work, if it is a bad one."""
    what, _, where = behaviour.partition(" at ")
    if where and int(where) != length:
        return
    if what == "crashes":
        os.abort()
    if what == "exits":
        print("Killed for its memory", file=sys.stderr, flush=True)
        os._exit(9)
    if what == "hangs":
        time.sleep(600)
    if what == "raises":
        raise RuntimeError("out of memory\nwith a second line")
    if what == "prints":
        print("garbage on stdout")
        os.write(1, b"more garbage\n")


FAULTS = ("exits", "aborts", "segfaults", "is killed", "hangs", "raises", "allocates", "diverges", "babbles", "quits")
"""What a worker can do in the middle of a phase."""


def fault_in(behaviour: str, phase: str, answers: Any) -> None:
    """Do what a worker of this behaviour does in this phase, if nobody has done it yet.

    The first start of an interpreter proves it, before anything is measured: faults come later.
    """
    what, _, where = behaviour.partition(" in ")
    if what not in FAULTS or where != phase:
        return
    fuse = Path(sys.argv[0]).with_suffix(".fuse")
    if phase == "import" and not (proved := fuse.with_suffix(".proved")).exists():
        return proved.touch()
    try:
        fuse.touch(exist_ok=False)
    except FileExistsError:
        return None
    if what in ("aborts", "segfaults", "is killed"):
        os.kill(os.getpid(), {"aborts": 6, "segfaults": 11, "is killed": 9}[what])
    if what == "exits":
        print("last words", file=sys.stderr, flush=True)
        os._exit(7)
    if what == "quits":
        os._exit(0)
    if what == "hangs":
        time.sleep(600)
    if what == "babbles":
        print("no answer at all", file=answers, flush=True)
        time.sleep(600)
    raise {"allocates": MemoryError, "diverges": ArithmeticError}.get(what, RuntimeError)("as was asked for")


EPOCH_S = 0.25


def fake_speed_trials(behaviour: str) -> Any:
    """Play a timed fit whose epochs take no time, but say that they do; parked, it really waits."""
    from bench.plan.cells import Trial
    from bench.records.speed import Slice, Speed, Witness
    from bench.worker.messages import Leave, Parked, Turn, TurnDone

    def measure_speed(
        trial: Trial, *, process_start_s: float, import_s: float, report: Any, park: Any, tell: Any
    ) -> Speed:
        report("build")
        report("first epoch")
        misbehave(behaviour, trial.cell.length)
        unsteady = behaviour in ("unsteady", f"unsteady at {trial.cell.length}")
        epoch_s = EPOCH_S * (1 + trial.index % 2) if unsteady else EPOCH_S
        slices: list[Slice] = []
        report("turns")
        answer = park(Parked(epoch_s=epoch_s, fastest_probe_s=2.0))
        while not isinstance(answer, Leave):
            slices.append(turn(trial, answer, slices, epoch_s, tell))
            answer = park(TurnDone(slice=slices[-1]))
        report("witness")
        if behaviour == "wrong path":
            raise ValueError(f"`expect` is {trial.expect}, but scan ran (while loops of 4 turns)")
        report("validation")
        return Speed(
            cell=trial.cell,
            process=trial.index,
            twin=trial.twin,
            process_start_s=process_start_s,
            import_s=import_s,
            build_s=0.1,
            start_epochs_s=(0.5, *[epoch_s] * trial.settings.timing.warmup_epochs),
            slices=tuple(slices),
            validation_s=(0.2, 0.1),
            steps_per_epoch=17,
            rows_per_epoch=1620,
            peak_rss_bytes=10**8,
            peak_device_bytes=None,
            witness=Witness(recurrence="scan", xla=True, compilations=2, evidence="while loops of 4 turns"),
        )

    def turn(trial: Trial, asked: Turn, before: list[Slice], epoch_s: float, tell: Any) -> Slice:
        if len(before) == 1 and behaviour.endswith(" in its second turn"):
            misbehave(behaviour.removesuffix(" in its second turn"), trial.cell.length)
        if behaviour == "slow":
            time.sleep(1)
        timing = trial.settings.timing
        warmup, counted = timing.warmup_epochs, asked.epochs or timing.slice_epochs
        if asked.tell:
            tell(warmup * epoch_s)
            for _ in range(counted):
                tell(epoch_s)
        again = any(one.round == asked.round for one in before)
        return Slice(
            round=asked.round,
            begun_at_s=asked.begun_at_s,
            epochs_s=(epoch_s,) * (warmup + counted),
            warmup_epochs=warmup,
            others_cpu_s=10.0 if behaviour == "disturbed" or (behaviour == "disturbed once" and not again) else 0.0,
            steal_s=0.0,
            involuntary_switches=0,
            **probes(asked, slowed=behaviour == "slowed" or (behaviour == "slowed once" and not again)),
        )

    def probes(asked: Turn, *, slowed: bool) -> dict[str, Any]:
        if asked.calm_s is None:
            return {}
        fastest_s = (asked.fastest_probe_s or 2.0) / 2
        return {"probes_s": (fastest_s, fastest_s * (2 if slowed else 1)), "fastest_probe_s": fastest_s}

    def weigh_harness(
        trial: Trial, *, fit_s: float, repeats: int, report: Callable[[str], None]
    ) -> tuple[list[float], list[float], list[float]]:
        misbehave(behaviour, trial.cell.length)
        return [EPOCH_S] * repeats, [1.01 * EPOCH_S] * repeats, [0.001 * EPOCH_S] * repeats

    return SimpleNamespace(measure_speed=measure_speed, weigh_harness=weigh_harness)


def fake_trials(behaviour: str) -> Any:
    """Play the Keras side: every trial takes no time, except where it misbehaves."""
    from bench.records.schema import Accuracy
    from seqsum_core.metrics import Errors

    def measure_group(group: Any, *, report: Any) -> list[Accuracy]:
        report("build")
        misbehave(behaviour, group.cell.length)
        report("fit")
        return [trained(trial) for trial in group.trials]

    def time_seeds(group: Any, way: str, *, report: Any) -> Any:
        report("fit")
        misbehave(behaviour, group.cell.length)
        return {"replica": 2.0 / group.at_once, "alone": 10.0, "plain": 4.0}[way], tuple(1.5 for _ in group.seeds)

    def trained(trial: Any) -> Accuracy:
        judged = Errors(rows=200, mse=0.2, mae=0.3, exact_sum_rate=0.8)
        return Accuracy(
            cell=trial.cell,
            seed=trial.index,
            patience=0,
            start="numpy",
            loss=(2.0, 1.0),
            val_loss=(2.5, 1.5),
            stopped_early=False,
            test=judged,
            test_by_length={2: judged},
            predictions=(4.1, 0.1),
            sums=(4, 0),
            way="alone",
            memory=None,
        )

    def replay_run(dtype: Any, *, case: Any, file: Any, report: Any) -> Any:
        """Play a replay that retraces its reference exactly, except where it shall not."""
        import numpy as np

        from seqsum_core.article import reference
        from seqsum_core.article.verdict import Replayed

        run = reference.load(file) if file else reference.case(case, dtype)
        report("epoch 0 of 1")
        misbehave(behaviour, run.length)
        if behaviour == "no float64" and dtype == "float64":
            raise RuntimeError("Keras 9 on jax does not compute in float64")
        wrong = 1.1 if behaviour == "learns otherwise" else 1.0
        predictions = run.test_predictions.astype(np.float64)
        if run.printed:
            predictions[:6] = run.printed
        return Replayed("jax", dtype, run.loss, run.val_loss * wrong, predictions, predictions)

    def check_model(trial: Any) -> None:
        if behaviour == "wrong model":
            raise ValueError("Model `x:y` must return a keras.Model. Received: str. Return the model itself.")

    return SimpleNamespace(
        measure_group=measure_group,
        time_seeds=time_seeds,
        check_model=check_model,
        replay_run=replay_run,
    )


def fake_parity(behaviour: str) -> Any:
    """Play a backend's side of the certificate by the float64 reference, or misbehave."""
    from seqsum_core.parity_case import Case, Quantity, quantity, reference

    def compute(case: Case) -> list[Quantity]:
        if behaviour == "crashes":
            os.abort()
        if behaviour == "raises":
            raise RuntimeError("out of memory")
        factor = 1.01 if behaviour == "wrong numbers" else 1.0
        return [quantity(one.check, one.name, factor * one.array()) for one in reference(case)]

    return SimpleNamespace(compute=compute)
