"""Ask the article's question again: does the gradient vanish, does an LSTM help, or is it the scale of the target?

SimpleRNN, LSTM and GRU learn the sum of digits at several lengths, with the sums as they are and divided by three
quarters of the length (the mean sum, so that targets have unit size); nothing else differs. Each training is judged
after 100 epochs, as the article allowed, and where a patience of 100 epochs or the cap ends it: on the article's test
rows and on 20,000 fresh rows of the same law, in the units of the sums. Memory and gradients are measured at the start,
after 100 epochs and at the end. Every part writes a file of its own and is skipped if that is there:

    python docs/scripts/article_study.py results/article-study          # some hours on one core, on JAX
    python docs/scripts/article_study.py results/article-study --length 35 --seeds 20 40    # a held-out check

Each call ends by writing tables.md of all files that are there.
"""

import argparse
import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqsum_core import task
from seqsum_core.memory import measure_memory
from seqsum_core.metrics import errors
from seqsum_core.nn import models, replicas
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings
from seqsum_core.task import Sequences, Split

LENGTHS = (4, 12, 25, 50, 100)
MODELS = ("simple_rnn", "lstm", "gru")
SHORT, CAP, PATIENCE = 100, 400, 100
FRESH_ROWS = 20_000
NETWORK = NetworkSettings()
ARTICLE = TaskSettings()
Weights = list[NDArray[Any]]


def scaled(rows: Sequences, scale: float) -> Sequences:
    """Return rows whose targets are divided by `scale`."""
    return replace(rows, sums=rows.sums / scale)


def fresh_rows(length: int) -> Sequences:
    """Draw rows of the article's law that share none of its randomness."""
    settings = TaskSettings(source="generated", sequences=FRESH_ROWS, seed=2017)
    return task.draw(settings, length=length)


def unit_scale(length: int) -> float:
    """Return about the mean sum: digits of 0 to 3, half of the padded length in the mean."""
    return 0.75 * length


def train(name: str, data: Split, starts: Sequence[Weights], seeds: Sequence[int], epochs: int, patience: int) -> Any:
    """Train all seeds as one model; return what each kept: losses, weights, whether patience stopped it."""
    training = TrainingSettings(epochs=epochs, patience=patience)
    kept = replicas.fit_replicas(name, starts, data, training, seeds=seeds, network=NETWORK)
    return [of_seed[0] for of_seed in kept]


def judge(model: Any, weights: Weights, rows: Sequences, scale: float) -> dict[str, float]:
    """Return mean squared error, exact sums and the greatest output on some rows, in units of the sums."""
    model.set_weights(weights)
    outputs = scale * model.predict(rows.inputs(), batch_size=2_000, verbose=0).ravel().astype(np.float64)
    judged = errors(outputs, rows.sums)
    return {"mse": judged.mse, "exact_sum_rate": judged.exact_sum_rate, "greatest_output": float(outputs.max())}


def study(name: str, length: int, scale: float, seeds: Sequence[int]) -> dict[str, Any]:
    """Train and judge one model at one length with one scale of the targets."""
    keras.utils.clear_session()
    whole = task.split(task.draw(ARTICLE, length=length), ARTICLE)
    data = Split(*(scaled(rows, scale) for rows in (whole.fitted, whole.validation, whole.test)))
    model = models.build(name, length=length, network=NETWORK)
    starts = [models.draw_weights(model, seed=seed) or [] for seed in seeds]
    begin_s = perf_counter()
    short = train(name, data, starts, seeds, SHORT, -1)
    long = train(name, data, starts, seeds, CAP, PATIENCE)
    fresh = fresh_rows(length)
    trainings = []
    for seed, start, after_short, end in zip(seeds, starts, short, long, strict=True):
        training: dict[str, Any] = {"seed": seed, "stopped_early": end.stopped_early, "epochs": len(end.loss)}
        training["loss"] = [scale**2 * value for value in end.loss]
        training["val_mse"] = [scale**2 * value for value in end.val_loss]
        for moment, trained in (("after_100", after_short), ("end", end)):
            memory = measure_memory(name, start, trained.weights, rows=data.test, task=ARTICLE, mask=NETWORK.mask)
            training[moment] = {
                "test": judge(model, trained.weights, whole.test, scale),
                "fresh": judge(model, trained.weights, fresh, scale),
                "output_bound": scale * float(np.abs(trained.weights[-2]).sum() + np.abs(trained.weights[-1]).sum()),
                "moved": [scale * value for value in memory.moved],
                "gradient": memory.gradient,
            }
            training["gradient_start"] = memory.gradient_start
            training |= {"steps_back": memory.steps_back, "rows": memory.rows}
        trainings.append(training)
    return {
        "task": "sum",
        "model": name,
        "length": length,
        "scale": scale,
        "epochs_cap": CAP,
        "patience": PATIENCE,
        "variance_of_sums": float(np.var(fresh.sums)),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "seconds": perf_counter() - begin_s,
        "trainings": trainings,
    }


def rounded(value: Any) -> Any:
    """Return a document whose numbers have six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def summary(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each moment: medians over seeds of errors on fresh rows, bound of the output, gradient."""
    rows = []
    for moment, epochs in (("after_100", SHORT), ("end", None)):
        judged = [training[moment] for training in document["trainings"]]
        mse = np.array([one["fresh"]["mse"] for one in judged])
        reach = [np.array(one["gradient"]["h"]) for one in judged]
        rows.append(
            {
                "model": document["model"],
                "length": document["length"],
                "targets": "as they are" if document["scale"] == 1 else f"/ {document['scale']:g}",
                "epochs": epochs or float(np.median([training["epochs"] for training in document["trainings"]])),
                "stopped early %": 0 if epochs else 100 * np.mean([t["stopped_early"] for t in document["trainings"]]),
                "fresh mse": float(np.median(mse)),
                "least": float(mse.min()),
                "greatest": float(mse.max()),
                "variance of sums": document["variance_of_sums"],
                "learned": f"{int((mse < document['variance_of_sums'] / 2).sum())} of {len(mse)}",
                "exact sums %": 100 * float(np.median([one["fresh"]["exact_sum_rate"] for one in judged])),
                "output bound": float(np.median([one["output_bound"] for one in judged])),
                "gradient, 5 steps back": float(
                    np.median([norms[min(5, len(norms) - 1)] / norms[0] for norms in reach])
                ),
            }
        )
    return rows


def write_tables(folder: Path) -> None:
    """Tabulate every file of a folder."""
    documents = [json.loads(gzip.decompress(path.read_bytes())) for path in sorted(folder.glob("*.json.gz"))]
    order = sorted(documents, key=lambda one: (one["length"], MODELS.index(one["model"]), one["scale"] != 1))
    rows = [row for document in order for row in summary(document)]
    (folder / "tables.md").write_text(
        "# The article's question\n\nWritten by `python docs/scripts/article_study.py results/article-study`.\n\n```\n"
        + pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format)
        + f"""
```

Medians over seeds; least and greatest of the seeds. Errors are of {FRESH_ROWS:,} fresh rows, in the units of the sums.
Learned: an error below half the variance of the sums, which a constant cannot reach. Output bound: the greatest output
that the Dense layer can make of a state within [-1, 1]. Gradient: norm of the loss gradient with respect to the hidden
state five steps back (or as far as there are steps), relative to the last one.
At most {CAP} epochs; early stopping with a patience of {PATIENCE}.
"""
    )


def main() -> None:
    """Make every file that is missing, and the tables of all."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--length", action="append", type=int)
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 20), metavar=("FIRST", "END"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    seeds = range(*options.seeds)
    for length in options.length or LENGTHS:
        for name in options.model or MODELS:
            for label, scale in (("as-is", 1.0), ("unit", unit_scale(length))):
                path = options.folder / f"sum-{name}-{length:03}-{label}-{seeds.start}.json.gz"
                if path.exists():
                    continue
                document = rounded(study(name, length, scale, seeds))
                path.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
                print(f"{path.name}: {document['seconds']:.0f} s", flush=True)
    write_tables(options.folder)


if __name__ == "__main__":
    main()
