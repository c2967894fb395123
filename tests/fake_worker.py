"""A worker without a framework, for tests of the coordinator: `fake_python` makes an interpreter of it.

It speaks the real protocol through the real `bench.worker`; only proving and training are played.
The backend's behaviour is chosen by the variable FAKE_<BACKEND> baked into the interpreter's script.
"""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SCRIPT = """#!{python}
import sys
if sys.argv[1] == "-c":
    print('["bench", "seqsum_core", "keras", "jax", "torch", "tensorflow"]')
else:
    del sys.argv[1:3]  # -m bench.worker
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
    from bench import worker
    from bench.messages import Ready
    from bench.records import Worker
    from seqsum_core.settings import require

    def import_backend(backend: str, device: str) -> Ready:
        if behaviour == "dies at import":
            print("ImportError: no such library", file=sys.stderr)
            sys.exit(3)
        require(behaviour != "no gpu", "`device` gpu was asked for.", device, "Use --device cpu.")
        proved = Worker(
            backend=backend,  # type: ignore[arg-type]
            device=device,  # type: ignore[arg-type]
            device_name="fake",
            threads=1,
            float32_precision="float32",
            python="3",
            versions={"keras": "0", backend: "0"},
            environment={"KERAS_BACKEND": os.environ["KERAS_BACKEND"]},
        )
        return Ready(worker=proved, import_s=0.01)

    worker.import_backend = import_backend
    sys.modules["bench.trials"] = fake_trials(behaviour)
    import bench

    bench.trials = sys.modules["bench.trials"]
    sys.modules["seqsum_core.parity"] = fake_parity(behaviour)
    worker.main()


def fake_trials(behaviour: str) -> Any:
    """Play the Keras side: every trial takes no time, except where it misbehaves."""
    from bench.records import Accuracy, Speed
    from seqsum_core.metrics import Errors

    def misbehave(trial: Any) -> None:
        if behaviour == "crashes" or (behaviour == "crashes at 12" and trial.cell.length == 12):
            os.abort()
        if behaviour == "exits":
            print("Killed for its memory", file=sys.stderr, flush=True)
            os._exit(9)
        if behaviour == "hangs":
            time.sleep(600)
        if behaviour == "raises":
            raise RuntimeError("out of memory\nwith a second line")
        if behaviour == "prints":
            print("garbage on stdout")
            os.write(1, b"more garbage\n")

    def measure_speed(trial: Any, *, process_start_s: float, import_s: float, report: Any, go_on: Any) -> Speed:
        report("build")
        report("fit")
        misbehave(trial)
        epochs_s = [0.5]
        while go_on(epochs_s):
            epochs_s.append(0.25)
        return Speed(
            cell=trial.cell,
            process=trial.index,
            process_start_s=process_start_s,
            import_s=import_s,
            build_s=0.1,
            epochs_s=tuple(epochs_s),
            warmup_epochs=trial.settings.timing.warmup_epochs,
            validation_s=(0.2, 0.1),
            steps_per_epoch=17,
            rows_per_epoch=1620,
            peak_rss_bytes=10**8,
            peak_device_bytes=None,
            others_cpu_s=10.0 if behaviour == "disturbed" else 0.0,
        )

    def measure_group(group: Any, *, report: Any) -> list[Accuracy]:
        report("build")
        misbehave(group)
        return [trained(trial) for trial in group.trials]

    def time_seeds(group: Any, way: str, *, report: Any) -> Any:
        report("fit")
        misbehave(group)
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

        from seqsum_core import reference
        from seqsum_core.verdict import Replayed

        run = reference.load(file) if file else reference.case(case, dtype)
        report("epoch 0 of 1")
        misbehave(SimpleNamespace(cell=SimpleNamespace(length=run.length)))
        if behaviour == "no float64" and dtype == "float64":
            raise RuntimeError("Keras 9 on jax does not compute in float64")
        wrong = 1.1 if behaviour == "learns otherwise" else 1.0
        predictions = run.test_predictions.astype(np.float64)
        if run.printed:
            predictions[:6] = run.printed
        return Replayed("jax", dtype, run.loss, run.val_loss * wrong, predictions, predictions)

    def enough_epochs(settings: Any) -> Any:
        return lambda epochs_s: len(epochs_s) < 1 + settings.timing.warmup_epochs + settings.timing.steady_epochs

    def check_model(trial: Any) -> None:
        if behaviour == "wrong model":
            raise ValueError("Model `x:y` must return a keras.Model. Received: str. Return the model itself.")

    return SimpleNamespace(
        measure_speed=measure_speed,
        measure_group=measure_group,
        time_seeds=time_seeds,
        enough_epochs=enough_epochs,
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
