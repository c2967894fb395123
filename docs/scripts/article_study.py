"""Ask the article's question again: does the gradient vanish, does an LSTM help, or is it something else?

SimpleRNN, LSTM and GRU learn two tasks at several lengths. The sum of digits, with the sums as they are ("as-is") and
divided by three quarters of the length, which is about the mean sum ("unit"); nothing else differs. Two more variants
test the explanation: the sums as they are, but the bias of the output starts at the mean sum ("bias"), or the learning
rate is ten times as high ("rate"). Each training is judged after 100 epochs, as the article allowed, and where a
patience of 100 epochs or the cap ends it: on the article's test rows and on 20,000 fresh rows of the same law, in the
units of the sums. And the adding problem (Hochreiter and Schmidhuber 1997), which tests memory and which no linear
model solves: a row has a value and a marker in each timestep, and the target is the sum of the two marked values. Every
part writes a file of its own and is skipped if that is there:

    python docs/scripts/article_study.py results/article-study          # some hours on one core, on JAX
    python docs/scripts/article_study.py results/article-study --task adding --length 50
    python docs/scripts/article_study.py results/article-study --task sum --length 25 --variant bias --variant rate
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
from sklearn.linear_model import LinearRegression

from seqsum_core import reference_cells, tasks
from seqsum_core.memory import measure_memory
from seqsum_core.metrics import errors
from seqsum_core.nn import replicas
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings
from seqsum_core.start import draw_start
from seqsum_core.tasks import Sequences, Split, adding

LENGTHS = {"sum": (4, 12, 25, 50, 100), "adding": (12, 25, 50, 100)}
MODELS = ("simple_rnn", "lstm", "gru")
SHORT, CAP, PATIENCE = 100, 400, 100
ADDING_ROWS, ADDING_CAP, ADDING_PATIENCE = 10_000, 100, 20
"""90 steps an epoch: 9,000 steps at most. A tenth of the rows is for validation."""
FRESH_ROWS = 20_000
GRADIENT_ROWS = 500
NETWORK = NetworkSettings()
ARTICLE = TaskSettings()
Weights = list[NDArray[Any]]


def scaled(rows: Sequences, scale: float) -> Sequences:
    """Return rows whose targets are divided by `scale`."""
    return replace(rows, y=rows.y / scale)


def unit_scale(length: int) -> float:
    """Return about the mean sum: digits of 0 to 3, half of the padded length in the mean."""
    return 0.75 * length


def variant_of(label: str, length: int, mean: float) -> tuple[float, float, float]:
    """Return the scale of the targets, where the output's bias starts, and the learning rate."""
    return {
        "as-is": (1.0, 0.0, 0.001),
        "unit": (unit_scale(length), 0.0, 0.001),
        "bias": (1.0, mean, 0.001),
        "rate": (1.0, 0.0, 0.01),
    }[label]


def train(name: str, data: Split, starts: Sequence[Weights], seeds: Sequence[int], **settings: Any) -> Any:
    """Train all seeds as one model; return what each kept: losses, weights, whether patience stopped it."""
    training = TrainingSettings(**settings)
    kept = replicas.fit_replicas(name, starts, data, training, seeds=seeds, network=NETWORK)
    return [of_seed[0] for of_seed in kept]


def predict(name: str, trained: Any, rows: Sequences, scale: float = 1.0) -> NDArray[np.float64]:
    """Return the outputs of every seed, shape (seeds, rows), in units of the sums."""
    outputs = replicas.predict_replicas(name, [one.weights for one in trained], rows, network=NETWORK)
    return scale * outputs.astype(np.float64)


def judge(outputs: NDArray[np.float64], rows: Sequences) -> dict[str, float]:
    """Return mean squared error, exact sums and the greatest output."""
    judged = errors(outputs, rows.y)
    return {"mse": judged.mse, "right_rate": judged.right_rate, "greatest_output": float(outputs.max())}


def study_sum(name: str, length: int, label: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Train and judge one variant of one model at one length."""
    whole = tasks.split(tasks.draw(ARTICLE, length=length), ARTICLE)
    scale, bias, rate = variant_of(label, length, float(whole.fitted.y.mean()))
    data = Split(*(scaled(rows, scale) for rows in (whole.fitted, whole.validation, whole.test)))
    starts = [draw_start(name, units=NETWORK.units, seed=seed) for seed in seeds]
    for start in starts:
        start[-1] += np.float32(bias)
    short = train(name, data, starts, seeds, epochs=SHORT, patience=-1, learning_rate=rate)
    long = train(name, data, starts, seeds, epochs=CAP, patience=PATIENCE, learning_rate=rate)
    fresh = tasks.fresh_rows(ARTICLE, length=length, rows=FRESH_ROWS)
    trainings: list[dict[str, Any]] = [
        {
            "seed": seed,
            "stopped_early": end.stopped_early,
            "epochs": len(end.loss),
            "loss": [scale**2 * value for value in end.loss],
            "val_loss": [scale**2 * value for value in end.val_loss],
        }
        for seed, end in zip(seeds, long, strict=True)
    ]
    for moment, trained in (("after_100", short), ("end", long)):
        on_test, on_fresh = (predict(name, trained, rows, scale) for rows in (whole.test, fresh))
        for seed, training in enumerate(trainings):
            weights = trained[seed].weights
            memory = measure_memory(name, starts[seed], weights, rows=data.test, task=ARTICLE, mask=NETWORK.mask)
            training[moment] = {
                "test": judge(on_test[seed], whole.test),
                "fresh": judge(on_fresh[seed], fresh),
                "output_bound": scale * float(np.abs(weights[-2]).sum() + np.abs(weights[-1]).sum()),
                "moved": [scale * value for value in memory.moved],
                "gradient": memory.gradient,
            }
            training["gradient_start"] = memory.gradient_start
            training |= {"steps_back": memory.steps_back, "rows": memory.rows}
    settings = {"variant": label, "scale": scale, "bias": bias, "learning_rate": rate}
    return settings | {"epochs_cap": CAP, "patience": PATIENCE, "trainings": trainings} | of_rows(fresh)


def study_adding(name: str, length: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Train and judge one model at one length on the adding problem."""
    rows = adding.draw_rows(length, ADDING_ROWS, [0, length])
    fitted = ADDING_ROWS * 9 // 10
    data = Split(rows.first(fitted), rows.take(np.arange(fitted, ADDING_ROWS)), rows.first(1))
    fresh = adding.draw_rows(length, FRESH_ROWS, [1, length])
    starts = [draw_start(name, units=NETWORK.units, seed=seed, features=2) for seed in seeds]
    trained = train(name, data, starts, seeds, epochs=ADDING_CAP, patience=ADDING_PATIENCE)
    squares = (predict(name, trained, fresh) - fresh.y) ** 2
    first_marker = length - 1 - fresh.x[:, :, 1].argmax(axis=1)  # steps before the end
    far = first_marker >= np.median(first_marker)
    few = fresh.first(GRADIENT_ROWS)
    trainings = [
        {
            "seed": seed,
            "stopped_early": end.stopped_early,
            "epochs": len(end.loss),
            "loss": end.loss,
            "val_loss": end.val_loss,
            "fresh": {"mse": float(of_seed.mean())},
            "near_mse": float(of_seed[~far].mean()),
            "far_mse": float(of_seed[far].mean()),
            "gradient_start": gradients(name, start, few),
            "gradient": gradients(name, end.weights, few),
        }
        for seed, start, end, of_seed in zip(seeds, starts, trained, squares, strict=True)
    ]
    linear = LinearRegression().fit(rows.x[:fitted].reshape(fitted, -1), rows.y[:fitted])
    linear_mse = float(np.mean((linear.predict(fresh.x.reshape(FRESH_ROWS, -1)) - fresh.y) ** 2))
    return {
        "epochs_cap": ADDING_CAP,
        "patience": ADDING_PATIENCE,
        "linear_mse": linear_mse,
        "trainings": trainings,
    } | of_rows(fresh)


def gradients(name: str, weights: Weights, rows: Sequences) -> list[float]:
    """Return the mean norm of the loss gradient with respect to h, by steps back from the end."""
    targets = rows.y[:, np.newaxis]
    of_h = reference_cells.state_gradients(name, weights, rows.inputs(), targets, mask=NETWORK.mask)[0]
    return [float(value) for value in np.linalg.norm(of_h, axis=2).mean(axis=0)[::-1]]


def of_rows(fresh: Sequences) -> dict[str, Any]:
    """Return what is known of the rows: a constant has their variance as its error."""
    return {"variance": float(np.var(fresh.y))}


def rounded(value: Any) -> Any:
    """Return a document whose numbers have six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def spread(mse: NDArray[np.float64], limit: float) -> dict[str, Any]:
    """Return median, least and greatest of the errors of the seeds, and how many are below a limit."""
    figures = {"fresh mse": np.median(mse), "least": mse.min(), "greatest": mse.max()}
    return figures | {"learned": f"{int((mse < limit).sum())} of {len(mse)}"}


def far_gradient(training: dict[str, Any], name: str) -> float:
    """Return the gradient at the first timestep, relative to the last one."""
    norms = training[name]["h"] if isinstance(training[name], dict) else training[name]
    return float(norms[-1] / norms[0]) if norms[0] else float("nan")


def described(document: dict[str, Any]) -> str:
    """Describe what differs from the article's training."""
    label = document.get("variant", "as-is" if document["scale"] == 1 else "unit")
    texts = {"as-is": "as is", "unit": f"sums / {document['scale']:g}", "bias": "bias at mean", "rate": "rate 0.01"}
    return texts[label]


def sum_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each moment: errors on fresh rows, bound of the output, gradient."""
    rows, trainings = [], document["trainings"]
    for moment, epochs in (("after_100", SHORT), ("end", None)):
        judged = [training[moment] for training in trainings]
        mse = np.array([one["fresh"]["mse"] for one in judged])
        stopped = np.mean([training["stopped_early"] for training in trainings])
        rows.append(
            {
                "model": document["model"],
                "length": document["length"],
                "seeds from": trainings[0]["seed"],
                "variant": described(document),
                "epochs": epochs or float(np.median([training["epochs"] for training in trainings])),
                "stopped early %": 0 if epochs else 100 * stopped,
                **spread(mse, document["variance"] / 2),
                "variance": document["variance"],
                "exact sums %": 100 * float(np.median([one["fresh"]["right_rate"] for one in judged])),
                "output bound": float(np.median([one["output_bound"] for one in judged])),
                "gradient": float(np.median([far_gradient(one, "gradient") for one in judged])),
                "at start": float(np.median([far_gradient(training, "gradient_start") for training in trainings])),
            }
        )
    return rows


def adding_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row: errors on fresh rows, of all and by how far back the first marker is, and the gradient."""
    trainings = document["trainings"]

    def median(name: str) -> float:
        return float(np.median([training[name] for training in trainings]))

    return [
        {
            "model": document["model"],
            "length": document["length"],
            "seeds from": trainings[0]["seed"],
            "epochs": median("epochs"),
            "stopped early %": 100 * float(np.mean([training["stopped_early"] for training in trainings])),
            **spread(np.array([training["fresh"]["mse"] for training in trainings]), document["variance"] / 10),
            "variance": document["variance"],
            "linear fit": document["linear_mse"],
            "near": median("near_mse"),
            "far": median("far_mse"),
            "gradient": float(np.median([far_gradient(training, "gradient") for training in trainings])),
            "at start": float(np.median([far_gradient(training, "gradient_start") for training in trainings])),
        }
    ]


def write_tables(folder: Path) -> None:
    """Tabulate every file of a folder."""
    documents = [json.loads(gzip.decompress(path.read_bytes())) for path in sorted(folder.glob("*.json.gz"))]
    order = sorted(documents, key=lambda one: (one["length"], MODELS.index(one["model"])))
    tables = {
        name: pd.DataFrame([row for document in order if document["task"] == name for row in rows_of(document)])
        for name, rows_of in (("sum", sum_rows), ("adding", adding_rows))
    }
    text = {name: table.to_string(index=False, float_format="{:.3g}".format) for name, table in tables.items()}
    (folder / "tables.md").write_text(
        f"""# The article's question

Written by `python docs/scripts/article_study.py results/article-study`. Medians over seeds; least and greatest of the
seeds. Errors are of {FRESH_ROWS:,} fresh rows. Gradient: norm of the loss gradient with respect to the hidden state as
far back as it was measured, at most at the first timestep, relative to the last one; with the trained and with the
starting weights.

## Sums of digits

```
{text["sum"]}
```

In the units of the sums. Learned: an error below half the variance of the sums, which a constant cannot reach. Output
bound: the greatest output that the Dense layer can make of a state within [-1, 1]. At most {CAP} epochs; early stopping
with a patience of {PATIENCE}.

## The adding problem

```
{text["adding"]}
```

Learned: an error below a tenth of the variance. Linear fit: a linear model's error. Near and far: errors of the rows
whose first marker is less far back than in the median row, and of all others. {ADDING_ROWS * 9 // 10:,} rows are fitted
in 90 steps an epoch, in at most {ADDING_CAP} epochs; early stopping with a patience of {ADDING_PATIENCE}.
"""
    )


def main() -> None:
    """Make every file that is missing, and the tables of all."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", action="append", choices=LENGTHS)
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--length", action="append", type=int)
    parser.add_argument("--variant", action="append", choices=("as-is", "unit", "bias", "rate"))
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 20), metavar=("FIRST", "END"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.task or LENGTHS:
        for length in options.length or LENGTHS[name]:
            for model in options.model or MODELS:
                variants = (options.variant or ["as-is", "unit"]) if name == "sum" else ["as-is"]
                for label in variants:
                    make_file(options.folder, name, length, model, label, range(*options.seeds))
    write_tables(options.folder)


def make_file(folder: Path, name: str, length: int, model: str, label: str, seeds: Sequence[int]) -> None:
    """Study one model at one length, unless its file is there."""
    path = folder / f"{name}-{model}-{length:03}-{label}-{seeds[0]}.json.gz"
    if path.exists():
        return
    keras.utils.clear_session()
    begin_s = perf_counter()
    found = study_sum(model, length, label, seeds) if name == "sum" else study_adding(model, length, seeds)
    about = {"task": name, "model": model, "length": length, "keras": keras.__version__}
    about |= {"backend": keras.backend.backend(), "seconds": perf_counter() - begin_s}
    path.write_bytes(gzip.compress(json.dumps(rounded(about | found)).encode(), mtime=0))
    print(f"{path.name}: {about['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
