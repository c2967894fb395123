"""Time many seeds of a model: trained as replicas of one Keras model, and one after another by `model.fit`.

    python docs/scripts/replica_speed.py jax lstm > replicas-jax-lstm.json
    python docs/scripts/replica_speed.py torch simple_rnn --seeds 100 --epochs 10 --replicas 10 20 50 100 --no-loop

The seconds contain building and compiling, not the start of the process and the import. `val_loss`, the last of each
seed, shows that all of them learned.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from experiment import experiment

from bench.host import peak_rss_bytes, reset_peak_rss
from seqsum_core import tasks
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings, VariantSettings

Losses = list[float]


def train_replicas(model: str, data: tasks.Split, training: TrainingSettings, *, seeds: int, at_once: int) -> Losses:
    """Train all seeds, some at once; return the last val_loss of each."""
    import keras

    from seqsum_core.nn import models, replicas

    network, losses = NetworkSettings(), Losses()
    for first in range(0, seeds, at_once):
        keras.utils.clear_session()
        part = range(first, min(first + at_once, seeds))
        template = build(model, data, training)
        starts = [models.draw_weights(template, seed=seed) for seed in part]
        trained = replicas.fit_replicas(model, starts, data, training, seeds=tuple(part), network=network)
        losses += [of_seed[-1].val_loss[-1] for of_seed in trained]
    return losses


def train_alone(model: str, data: tasks.Split, training: TrainingSettings, *, seeds: int) -> Losses:
    """Train one seed after another; return the last val_loss of each."""
    import keras

    from seqsum_core.nn import models
    from seqsum_core.nn.training import fit_for_accuracy

    losses = Losses()
    for seed in range(seeds):
        keras.utils.clear_session()
        built = build(model, data, training)
        models.set_start(built, seed=seed)
        losses.append(fit_for_accuracy(built, data, training, seed=seed)[-1].val_loss[-1])
    return losses


def build(model: str, data: tasks.Split, training: TrainingSettings) -> Any:
    """Build and compile a model for the rows."""
    from seqsum_core.nn import models

    length = data.fitted.inputs().shape[1]
    return models.build(model, length=length, network=NetworkSettings(), training=training, variant=VariantSettings())


def timed(train: Callable[[], Losses], way: str, at_once: int) -> dict[str, Any]:
    """Run a training and return what it took."""
    reset_peak_rss()
    begin = perf_counter()
    val_loss = train()
    row = {"way": way, "replicas": at_once, "train_s": perf_counter() - begin}
    print(row, file=sys.stderr)
    return row | {"val_loss": val_loss, "peak_rss_bytes": peak_rss_bytes()}


def main() -> None:
    """Time each way once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("backend", choices=["jax", "torch", "tensorflow"])
    parser.add_argument("model", choices=["simple_rnn", "lstm", "gru"])
    parser.add_argument("--length", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--replicas", type=int, nargs="+", default=[20], help="seeds at once; each number is timed")
    parser.add_argument("--no-loop", action="store_true", help="leave the loop of model.fit out")
    options = parser.parse_args()
    training = TrainingSettings(epochs=options.epochs, patience=-1)
    data = tasks.split(tasks.draw(TaskSettings(), length=options.length), TaskSettings())
    with experiment(options.backend) as document:
        import seqsum_core.nn.replicas  # noqa: F401  (imports Keras before the clock starts)

        document |= {name: getattr(options, name) for name in ("model", "length", "seeds", "epochs")}
        shared = {"model": options.model, "data": data, "training": training, "seeds": options.seeds}
        rows = [timed(partial(train_replicas, **shared, at_once=n), "replica", n) for n in options.replicas]
        if not options.no_loop:
            rows.append(timed(partial(train_alone, **shared), "alone", 1))
        document["timed"] = rows


if __name__ == "__main__":
    main()
