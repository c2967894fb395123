"""A worker without a framework, for tests of the coordinator: `fake_python` makes an interpreter of it.

It speaks the real protocol through the real `bench.worker`; only Keras is played. Its behaviour is baked into the
interpreter's script: "crashes at 12" crashes at length 12 only, "crashes in its second turn" in the second turn, and
"segfaults in turn" when that phase begins, once: the next worker is a good one; "takes 1.4" has longer epochs and
"errs 1.4" larger errors.
"""

import math
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SCRIPT = """#!{python}
import sys
if sys.argv[1] == "-c":
    print('\\n["bench", "seqsum_core", "keras", "jax", "torch", "tensorflow"]')
else:
    del sys.argv[1:3]  # -m bench.worker
    sys.path.insert(0, {tests!r})
    import fake_worker
    fake_worker.main({behaviour!r})
"""
FAULTS = ("exits", "aborts", "segfaults", "is killed", "hangs", "raises", "allocates", "diverges", "babbles", "quits")
"""What a worker can do in the middle of a phase."""
EPOCH_S = 0.25


def fake_python(folder: Path, behaviour: str = "good") -> str:
    """Write an executable that behaves like a Python with every backend, and return its path."""
    path = folder / f"python-{behaviour}"
    path.write_text(SCRIPT.format(python=sys.executable, tests=str(Path(__file__).parent), behaviour=behaviour))
    path.chmod(0o755)
    return str(path)


def main(behaviour: str) -> None:
    import bench.worker
    from bench.worker import __main__ as worker
    from bench.worker.messages import Ready, Start

    real_report = worker.Server._report

    def report(server: Any, phase: str) -> None:
        real_report(server, phase)
        break_in(behaviour, phase, server._replies)

    def import_backend(start: Start) -> Ready:
        break_in(behaviour, "import", sys.stdout)
        ready: Ready = check_in(behaviour, start)
        return ready

    worker.Server._report = report  # type: ignore[assignment, method-assign]
    worker.import_backend = import_backend
    fakes = {"own": fake_own(behaviour), "speed": fake_speed(behaviour), "accuracy": fake_accuracy(behaviour)}
    for name, fake in fakes.items():
        setattr(bench.worker, name, fake)
        sys.modules[f"bench.worker.{name}"] = fake
    sys.modules["seqsum_core.nn.parity"] = fake_parity(behaviour)
    worker.main()


def check_in(behaviour: str, start: Any) -> Any:
    """Say what this worker is, unless it does not get so far."""
    from bench.plan.cells import packages_of
    from bench.records.schema import Worker
    from bench.worker.messages import Ready
    from seqsum_core.settings import require

    if behaviour == "dies at import":
        print("ImportError: no such library", file=sys.stderr)
        sys.exit(3)
    require(behaviour != "no gpu", "`device` gpu was asked for.", start.device, "Use --device cpu.")
    packages = packages_of(start.environment)
    played = Worker(
        environment=start.environment,
        device=start.device,
        device_name="fake",
        threads=1,
        float32_precision="tf32" if start.runtime.tf32 else "float32",
        deterministic=start.runtime.deterministic,
        python="3",
        versions={"keras": packages.get("keras-nightly", "0"), **packages},
        variables={name: value for name, value in os.environ.items() if name == "KERAS_BACKEND"},
    )
    return Ready(worker=played, import_s=0.01)


def misbehave(behaviour: str, length: int) -> None:
    """Do what a worker of this behaviour does instead of its work, if it is a bad one."""
    action, _, at_length = behaviour.partition(" at ")
    if at_length and int(at_length) != length:
        return
    if action == "crashes":
        os.abort()
    if action == "exits":
        print("Killed for its memory", file=sys.stderr, flush=True)
        os._exit(9)
    if action == "hangs":
        time.sleep(600)
    if action == "raises":
        raise RuntimeError("out of memory\nwith a second line")
    if action == "prints":
        print("garbage on stdout")
        os.write(1, b"more garbage\n")


def break_in(behaviour: str, phase: str, replies: Any) -> None:
    """Do what a worker of this behaviour does in this phase, if no worker of this interpreter has done it yet.

    The first start of an interpreter only checks it, before anything is measured: faults come later.
    """
    action, _, in_phase = behaviour.partition(" in ")
    if action not in FAULTS or in_phase != phase:
        return
    fuse = Path(sys.argv[0]).with_suffix(".fuse")
    if phase == "import" and not (checked := fuse.with_suffix(".checked")).exists():
        return checked.touch()
    try:
        fuse.touch(exist_ok=False)
    except FileExistsError:
        return None
    signals = {"aborts": 6, "segfaults": 11, "is killed": 9}
    if action in signals:
        os.kill(os.getpid(), signals[action])
    if action == "exits":
        print("last words", file=sys.stderr, flush=True)
        os._exit(7)
    if action == "quits":
        os._exit(0)
    if action == "hangs":
        time.sleep(600)
    if action == "babbles":
        print("no reply at all", file=replies, flush=True)
        time.sleep(600)
    raise {"allocates": MemoryError, "diverges": ArithmeticError}.get(action, RuntimeError)("as was asked for")


def fake_own(behaviour: str) -> Any:
    """Play a user's own model: "other model" has other weights, "edited model" another source."""
    from bench.worker.messages import Check, Checked

    def check(request: Check) -> Checked:
        if behaviour == "wrong model":
            raise ValueError("Model `x:y` must return a keras.Model. Received: str. Return the model itself.")
        if request.starts is not None:
            (request.starts / "x.y-4.npz").touch()
        shapes = ((1, 8), (8,)) if behaviour == "other model" else ((1, 4), (4,))
        return Checked(model="edited" if behaviour == "edited model" else "model", shapes=shapes, loss_name="mse")

    return SimpleNamespace(check=check)


def fake_speed(behaviour: str) -> Any:
    """Play a speed trial whose epochs take no time, but whose record has them."""
    from bench.records.schema import ExecutionPath, Speed, Turn

    class SpeedTrial:
        def __init__(
            self, trial: Any, *, process_start_s: float, import_s: float, report: Any, starts: Path | None
        ) -> None:
            assert starts is not None or ":" not in trial.cell.model
            self._trial, self._report = trial, report
            self._process_start_s, self._import_s = process_start_s, import_s
            self._turns: list[Turn] = []
            unsteady = behaviour in ("unsteady", f"unsteady at {trial.cell.length}")
            self._epoch_s = EPOCH_S * (1 + trial.index % 2) if unsteady else EPOCH_S
            self._python_calls = 1000
            if behaviour.startswith("takes "):  # so many times as long, and 1 % more or less in each process
                noise = random.Random(f"{trial.cell} {trial.index} {trial.is_control}").gauss(0, 0.01)
                self._epoch_s *= float(behaviour.removeprefix("takes ")) * math.exp(noise)
                self._python_calls = round(1000 * float(behaviour.removeprefix("takes ")))
            report("build")
            report("first epoch")
            misbehave(behaviour, trial.cell.length)

        def run_turn(self, number: int, *, started_after_s: float) -> Turn:
            self._report("turn")
            if len(self._turns) == 1 and behaviour.endswith(" in its second turn"):
                misbehave(behaviour.removesuffix(" in its second turn"), self._trial.cell.length)
            if behaviour == "slow":
                time.sleep(1)
            timing = self._trial.settings.timing
            again = any(turn.round == number for turn in self._turns)
            disturbed = behaviour == "disturbed" or (behaviour == "disturbed once" and not again)
            turn = Turn(
                round=number,
                started_after_s=started_after_s,
                epochs_s=(self._epoch_s,) * (timing.warmup_epochs + timing.turn_epochs),
                warmup_epochs=timing.warmup_epochs,
                others_cpu_s=10.0 if disturbed else 0.0,
                steal_s=0.0,
                involuntary_switches=0,
            )
            self._turns.append(turn)
            return turn

        def close(self) -> Speed:
            self._report("execution path")
            if behaviour == "wrong path":
                raise ValueError(f"`expect` is {self._trial.expected_path}, but scan ran (while loops)")
            self._report("validation")
            return Speed(
                cell=self._trial.cell,
                process=self._trial.index,
                is_control=self._trial.is_control,
                process_start_s=self._process_start_s,
                import_s=self._import_s,
                build_s=0.1,
                start_epochs_s=(0.5, *[self._epoch_s] * self._trial.settings.timing.warmup_epochs),
                turns=tuple(self._turns),
                validation_s=(0.2, 0.1),
                steps_per_epoch=17,
                rows_per_epoch=1620,
                peak_rss_bytes=10**8,
                peak_device_bytes=None,
                execution_path=ExecutionPath(recurrence="scan", xla=True, compilations=2, evidence="while loops"),
                python_calls=self._python_calls if self._trial.index == 0 and not self._trial.is_control else None,
            )

    return SimpleNamespace(SpeedTrial=SpeedTrial)


def fake_accuracy(behaviour: str) -> Any:
    """Play the trainings: each takes no time, except where it misbehaves; seeds differ in their errors."""
    from bench.records.schema import Accuracy
    from seqsum_core.metrics import Errors

    factor = float(behaviour.removeprefix("errs ")) if behaviour.startswith("errs ") else 1.0
    test = Errors(rows=200, error=0.2, mae=0.3, right_rate=0.8)
    result: dict[str, Any] = {
        "patience": 0,
        "start": "numpy",
        "loss": (2.0, 1.0),
        "val_loss": (2.5, 1.5),
        "stopped_early": False,
        "test": test,
        "test_by_length": {2: test},
        "predictions": (4.1, 0.1),
        "targets": (4, 0),
        "trained_as": "alone",
        "memory": None,
    }

    def train_group(group: Any, *, report: Any, starts: Path | None) -> list[Accuracy]:
        report("build")
        misbehave(behaviour, group.cell.length)
        report("fit")
        start = {} if starts is None or ":" not in group.cell.model else {"start": "shared", "start_hash": "0"}
        records = []
        for seed in group.seeds:
            noise = math.exp(random.Random(f"{group.cell} {seed}").gauss(0, 0.01)) if factor != 1 else 1.0
            judged = {"test": replace(test, error=0.2 * factor * noise)}
            records.append(Accuracy(cell=group.cell, seed=seed, **(result | start | judged)))
        return records

    def replay_run(dtype: Any, *, case: Any, file: Any, report: Any) -> Any:
        """Play a replay that retraces its reference exactly, except where it must not."""
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

    return SimpleNamespace(train_group=train_group, replay_run=replay_run)


def fake_parity(behaviour: str) -> Any:
    """Play a backend that computes what the float64 reference computes, or misbehaves."""
    from seqsum_core.parity_case import quantity, reference

    def compute(case: Any) -> Any:
        if behaviour == "crashes":
            os.abort()
        if behaviour == "raises":
            raise RuntimeError("out of memory")
        factor = 1.01 if behaviour == "wrong numbers" else 1.0
        return [quantity(each.check, each.name, factor * each.array()) for each in reference(case)]

    return SimpleNamespace(compute=compute)
