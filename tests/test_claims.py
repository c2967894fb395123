"""Figures in the prose of the documents are those of the records: each sentence is written again from them."""

import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.analysis.accuracy import accuracy, seen_share
from bench.analysis.history import history
from bench.analysis.select import select
from bench.analysis.speed import epoch_times, ratios
from bench.measure.advise import Candidate
from bench.output.advise import ratio_to
from bench.output.headline import answers
from bench.output.numbers import number
from bench.records.frame import Frames
from bench.records.schema import Speed
from bench.records.store import load_runs
from seqsum_core.settings import TaskSettings
from seqsum_core.tasks import FRESH_ROWS

PROJECT = Path(__file__).parent.parent
RESULTS = PROJECT / "results"


@cache
def study(model: str, length: int, label: str, task: str = "sum", first: int = 0) -> dict[str, Any]:
    """Return a document of the article's study."""
    path = RESULTS / "article-study" / f"{task}-{model}-{length:03}-{label}-{first}.json.gz"
    document: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return document


def mse(model: str, length: int, label: str, moment: str = "after_100", first: int = 0) -> str:
    """Return the median error on fresh rows."""
    trainings = study(model, length, label, first=first)["trainings"]
    errors = [training[moment]["fresh"]["mse"] for training in trainings]
    return number(float(np.median(errors)))


def learned(model: str, length: int, label: str, moment: str = "after_100", first: int = 0) -> str:
    """Return how many seeds have an error below half the variance of the sums."""
    document = study(model, length, label, first=first)
    errors = [training[moment]["fresh"]["mse"] for training in document["trainings"]]
    return f"{sum(error < document['variance'] / 2 for error in errors)} of {len(errors)}"


def median_of(model: str, length: int, label: str, name: str, moment: str = "after_100") -> float:
    return float(np.median([training[moment][name] for training in study(model, length, label)["trainings"]]))


def gradient_ratio(model: str, length: int, label: str, moment: str = "after_100") -> float:
    """Return the gradient at the first timestep, relative to the last one."""
    norms = [training[moment]["gradient"]["h"] for training in study(model, length, label)["trainings"]]
    return float(np.median([each[-1] / each[0] for each in norms]))


def moved(model: str, length: int, label: str) -> float:
    """Return by how much the output moves with the earliest digit whose change was measured, after 100 epochs."""
    return float(
        np.median([training["after_100"]["moved"][-1] for training in study(model, length, label)["trainings"]])
    )


def adding(model: str, length: int) -> dict[str, Any]:
    return study(model, length, "as-is", "adding")


def adding_error(model: str, length: int) -> str:
    return number(float(np.median([each["fresh"]["mse"] for each in adding(model, length)["trainings"]])))


def row_of_adding(length: int) -> str:
    return f"| {length} | {' | '.join(adding_error(model, length) for model in ('simple_rnn', 'lstm', 'gru'))} |"


def starting_gradient(model: str, length: int) -> str:
    """Return the gradient at the first timestep with the starting weights, relative to the last one."""
    norms = [each["gradient_start"] for each in adding(model, length)["trainings"]]
    return number(float(np.median([each[-1] / each[0] for each in norms])))


def row_of(name: str, label: str, about: str = "") -> str:
    """Return a row of the table of variants of the SimpleRNN at length 25."""
    bound, gradient = median_of("simple_rnn", 25, label, "output_bound"), gradient_ratio("simple_rnn", 25, label)
    return f"| {name} | {mse('simple_rnn', 25, label)}{about} | {number(bound)} | {number(gradient)} |"


def below(limit: float, epoch: int) -> str:
    """Return how many SimpleRNN of length 25 of the target run have a val_loss below a limit after so many epochs."""
    losses = bench.load(RESULTS / "target", kind="losses")
    rows = losses[(losses["model"] == "simple_rnn") & (losses["length"] == 25) & (losses["epoch"] == epoch)]
    return f"{int((rows['val_loss'] < limit).sum())} of {len(rows)}"


def seen(length: int) -> int:
    return round(200 * seen_share(TaskSettings(), length))


def ahead(run: str) -> str:
    """Return how far the fastest backend is ahead of the next one, over all models and lengths of a run."""
    turns = select(load_runs(RESULTS / run)[0]).main_turns
    closest = [answer.closest for answer in answers(turns)]
    return f"{number(min(closest))} to {number(max(closest))}"


def error(run: str, model: str, length: int) -> str:
    """Return the mean test mse of a run on JAX with its interval."""
    trainings = bench.load(RESULTS / run, kind="trainings")
    rows = accuracy(trainings[(trainings["backend"] == "jax") & (trainings["patience"] == 20)])
    row = rows[(rows["model"] == model) & (rows["length"] == length)].iloc[0]
    mean, low, high = (number(float(row[name])) for name in ("test_error", "test_error_low", "test_error_high"))
    return f"{mean} ({low} to {high})"


def learned_of(run: str, figure: str, length: int) -> list[str]:
    """Return a mean over seeds and backends of SimpleRNN, LSTM and GRU; rates in percent."""
    rows = bench.load(RESULTS / run, kind="trainings")
    means = rows[rows["length"] == length].groupby("model")[figure].mean() * (100 if figure == "right_rate" else 1)
    return [number(float(means[model])) for model in ("simple_rnn", "lstm", "gru")]


def epoch_s(run: str, backend: str, model: str, length: int) -> str:
    """Return the seconds of an epoch."""
    times: Any = epoch_times(bench.load(RESULTS / run)).set_index(["environment", "model", "length"])
    return number(float(times.loc[(backend, model, length), "epoch_s"]))


@cache
def histories(folder: str) -> Any:
    """Return the history of a folder of results, by backend, model and version."""
    return history(Frames(load_runs(RESULTS / folder)[0]).turns).set_index(["backend", "model", "version"]).sort_index()


def history_of(
    figure: str, *versions: str, folder: str = "history", backend: str = "torch", model: str = "lstm"
) -> list[str]:
    """Return a ratio to the anchor of some versions of Keras."""
    figures = histories(folder).loc[(backend, model), figure]
    return [number(float(figures[f"keras {version}"])) for version in versions]


def in_turns(version: str) -> str:
    """Return the ratio of a SimpleRNN's epoch to the anchor with its interval."""
    row = histories("history-simple-rnn").loc[("torch", "simple_rnn", f"keras {version}")]
    return "{} ({} to {})".format(*(number(float(row[name])) for name in ("ratio", "ratio_low", "ratio_high")))


def row_of_history(name: str, figure: str, backend: str, model: str, *versions: str) -> str:
    """Return a row of a table of docs/history.md."""
    return f"| {name} | {' | '.join(history_of(figure, *versions, folder='keras-3', backend=backend, model=model))} |"


def step(environment: str) -> str:
    """Return by how much the calls changed, in the newest search that tried a version, from the version before."""
    for run in reversed(load_runs(RESULTS / "steps")[0]):
        calls = Frames([run]).turns.groupby("environment", sort=False)["python_calls"].first()
        if len(calls) == 2 and calls.index[1].endswith(environment):
            return number(float(calls.iloc[1] / calls.iloc[0]))
    raise LookupError(environment)


def step_of_time(version: str) -> str:
    """Return the step of a SimpleRNN's epoch on JAX from the version before, with its interval."""
    (step,) = (
        each
        for each in histories("history-jax").loc[("jax", "simple_rnn", f"keras {version}"), "steps"]
        if each[0] == "epoch"
    )
    return "{} ({} to {})".format(*map(number, step[1:]))


BEFORE = "jax@keras-nightly==3.15.0.dev2026050804"


OLD, NEW = "torch@keras==3.14.1", "torch@keras==3.15.1"


def calls_of(folder: str, environment: str, second: str) -> str:
    """Return the calls of an epoch relative to those of another environment."""
    calls = bench.load(RESULTS / folder).groupby("environment")["python_calls"].first()
    return number(float(calls[environment] / calls[second]))


def versus(folder: str, environment: str, second: str = "torch@keras==3.11.3", number_of: int = -1) -> str:
    """Return the ratio of an epoch to that of another environment in a run of a folder, with its interval."""
    run = load_runs(RESULTS / folder)[0][number_of]
    table = ratios(Frames([run]).turns, "environment", second).set_index("first")
    values = (table.loc[environment, name] for name in ("ratio", "ratio_low", "ratio_high"))
    return "{} ({} to {})".format(*map(number, values))


def advised(environment: str, variant: str = "default") -> Candidate:
    """Return a candidate of the search that docs/extending.md shows."""
    (run,), _ = load_runs(RESULTS / "advise")
    records = [record for record in run.records if isinstance(record, Speed)]
    own = [each for each in records if (each.cell.environment, str(each.cell.variant)) == (environment, variant)]
    return Candidate(own[0].cell, 30, {record.process: record for record in own})


def runner_up(second: Candidate, first: Candidate) -> str:
    ratio = ratio_to(second, first)
    ends = f"{number(ratio['ratio_least'])} to {number(ratio['ratio_greatest'])}"
    times = f"{number(ratio['ratio'])} times its time (in {ratio['compared']} processes {ends})"
    return f"{second.name}, {number(second.total_s)} s, {times}"


PLANTED = "torch@keras==90.1"


def planted_ends() -> str:
    return versus("planted/slower", "torch@keras==90.10", PLANTED, number_of=0)


def planted_calls(place: int) -> str:
    """Return the calls of the good (0) or the bad (-1) version that the search by calls found."""
    run = load_runs(RESULTS / "planted/slower")[0][-1]
    calls = Frames([run]).turns.groupby("environment", sort=False)["python_calls"].first()
    return f"{calls.iloc[place]:,.0f}"


def with_one_file(model: str) -> str:
    """Return the calls of a version and of its copy with one newer file, which are those of the newer version."""
    calls = bench.load(RESULTS / "keras-file").groupby(["model", "environment"], sort=False)["python_calls"].first()
    older, mixed, newer = calls[model]
    assert mixed == newer
    return f"from {older:,.0f} to {mixed:,.0f}"


def history_step(older: str, newer: str, backend: str) -> str:
    """Return the calls of a version of Keras relative to an older one."""
    calls = histories("keras-3").loc[(backend, "lstm"), "calls"]
    return number(float(calls[f"keras {newer}"] / calls[f"keras {older}"]))


MINORS = ("3.1.1", "3.11.3", "3.12.4", "3.13.2", "3.14.1", "3.15.1")
MEMORY = ("3.1.1", "3.6.0", "3.7.0", "3.8.0", "3.12.4", "3.13.2", "3.15.1")
"""Versions in the tables of docs/history.md."""
SENTENCES: dict[str, list[Callable[[], str]]] = {
    "README.md": [lambda: f"errors on {FRESH_ROWS:,} fresh rows"],
    "docs/methodology.md": [
        lambda: f"an LSTM at length 12 has a test mse of {error('data-sets', 'lstm', 12)}",
        lambda: f"on the article's data {error('reference', 'lstm', 12)}",
        lambda: f"a SimpleRNN has {error('data-sets', 'simple_rnn', 12)} and {error('reference', 'simple_rnn', 12)}",
    ],
    "docs/findings.md": [
        lambda: f"is {ahead('reference')} times JAX's on the one, {ahead('epyc')} times on the other",
        lambda: "a SimpleRNN, an LSTM and a GRU get {}, {} and {} % right".format(
            *learned_of("digits", "right_rate", 8)
        ),
        lambda: "by pixels (length 64) {}, {} and {} %".format(*learned_of("digits", "right_rate", 64)),
        lambda: "the GRU has an error of {2}, the LSTM {1} and the SimpleRNN {0}".format(
            *learned_of("adding", "test_error", 50)
        ),
        lambda: "an LSTM's epoch takes PyTorch {} s, TensorFlow {} s and JAX {} s".format(
            *(epoch_s("adding", backend, "lstm", 400) for backend in ("torch", "tensorflow", "jax"))
        ),
    ],
    "docs/history.md": [
        lambda: "an epoch is {} in 3.11.3, {} in 3.12.4, {} in 3.13.2, {} in 3.14.1 and {} in 3.15.1 itself".format(
            *history_of("ratio", "3.11.3", "3.12.4", "3.13.2", "3.14.1", "3.15.1")
        ),
        lambda: "The ratio of a validation is {} in 3.12.4 and {} in 3.13.2".format(
            *history_of("validation", "3.12.4", "3.13.2")
        ),
        lambda: "timed against itself an LSTM's epoch on PyTorch has a ratio of {}".format(
            *history_of("ratio", "3.15.1", folder="keras-3")
        ),
        *(
            lambda name=name, model=model: row_of_history(name, "calls", "torch", model, *MINORS)
            for name, model in (("SimpleRNN", "simple_rnn"), ("LSTM", "lstm"), ("GRU", "gru"))
        ),
        *(
            lambda name=name, backend=backend, figure=figure: row_of_history(name, figure, backend, "lstm", *MEMORY)
            for name, backend, figure in (("PyTorch", "torch", "memory"), ("TensorFlow", "tensorflow", "memory"))
        ),
        lambda: f"The calls of its epoch are {step('dev2026032504')} times those of the day before",
        lambda: f"The calls of an LSTM's epoch are {step('dev2026042504')} times those of 2026-04-23",
        lambda: f"The calls of its epoch are {step('dev2026052305')} times those of the day before",
        lambda: (
            f"the calls of the LSTM {with_one_file('lstm')}, of the GRU {with_one_file('gru')} and of the SimpleRNN "
            f"{with_one_file('simple_rnn')}"
        ),
        lambda: (
            f"makes {calls_of('bisect-200', NEW, OLD)} times the calls of 3.14.1, and the ratio of its "
            f"epoch is {versus('bisect-200', NEW, OLD, number_of=0)}"
        ),
        lambda: f"the ratio of 3.15.0 to 3.14.1 is {versus('bisect-200', 'torch@keras==3.15.0', OLD)}, in 7 processes",
        lambda: f"in 3.11.3 is {in_turns('3.11.3')}, in 3.14.1 {in_turns('3.14.1')}",
        lambda: f"3.15 has {history_step('3.14.1', '3.15.1', 'jax')} times the calls of 3.14.1",
        lambda: f"a SimpleRNN's epoch of 3.15.1 is {step_of_time('3.15.1')} times that of 3.14.1",
        lambda: f"Its calls are {step('dev2026050905')} times those of the day before",
        lambda: (
            f"it brings the epoch to {versus('keras-file-jax', 'jax@mixed', BEFORE)} times the time; the version after "
            f"takes {versus('keras-file-jax', BEFORE.replace('0804', '0905'), BEFORE)} times"
        ),
        lambda: f"3.7 has {step('3.7.0.dev2024102503')} times the calls of 3.6",
        lambda: f"is {versus('bisect', 'torch@keras==3.12.0')} times that of 3.11.3",
        lambda: (
            f"3.12.0 takes {versus('keras-tree/3.12.0', 'torch@keras==3.12.0')} times as long as 3.11.3 as it is, and "
            f"{versus('keras-tree/3.12.0', 'torch@optree')} with optree"
        ),
        lambda: f"takes {versus('keras-tree/3.15.1', 'torch@optree', 'torch@keras==3.15.1')} times as long",
    ],
    "docs/watching.md": [
        lambda: f"{planted_calls(-1)} calls an epoch in place of {planted_calls(0)}",
        lambda: (
            f"the ends differed, {planted_ends()}, and the first candidate, "
            f"{versus('planted/slower', 'torch@keras==90.6', PLANTED, number_of=1)}, was undecided after 11 processes"
        ),
    ],
    "docs/extending.md": [
        lambda: f"on the cpu: torch, fused, {number(advised('torch', 'fused').total_s)} s.",
        lambda: runner_up(advised("jax", "fused"), advised("torch", "fused")),
        lambda: "Keras' own layers took {} s there on JAX, {} s on TensorFlow and {} s on PyTorch".format(
            *(number(advised(backend).total_s) for backend in ("jax", "tensorflow", "torch"))
        ),
    ],
    "docs/article.md": [
        lambda: (
            f"{learned('simple_rnn', 25, 'as-is')} seeds have left it after 100 epochs, "
            f"{learned('simple_rnn', 25, 'as-is', 'end')} after at most 400, and {below(100, 300)} after 300"
        ),
        lambda: (
            f"the error after 100 epochs is {mse('simple_rnn', 25, 'bias')} instead of {mse('simple_rnn', 25, 'as-is')}"
        ),
        lambda: f"{seen(4)} of the 200 test rows equal a fitted row, at 12, {seen(12)}",
        lambda: (
            f"(an error of {number(adding('lstm', 50)['linear_mse'])} at length 50, where a constant has "
            f"{number(adding('lstm', 50)['variance'])})"
        ),
        *(lambda length=length: row_of_adding(length) for length in (12, 50)),
        lambda: (
            f"smaller at the start: {starting_gradient('lstm', 50)} of the last one, against "
            f"{starting_gradient('simple_rnn', 50)}"
        ),
        lambda: (
            f"As is, {learned('simple_rnn', 35, 'as-is', first=20)} SimpleRNN learned after 100 epochs and "
            f"{learned('simple_rnn', 35, 'as-is', 'end', first=20)} after at most 400. With the sums divided by 26.25, "
            f"{learned('simple_rnn', 35, 'unit', first=20)} learned, with an error of "
            f"{mse('simple_rnn', 35, 'unit', first=20)} where a constant has "
            f"{number(study('simple_rnn', 35, 'unit', first=20)['variance'])}. With the bias at the mean sum, "
            f"{learned('simple_rnn', 35, 'bias', first=20)} learned, with an error of "
            f"{mse('simple_rnn', 35, 'bias', first=20)}"
        ),
        lambda: row_of("as is", "as-is", ", the variance of the sums"),
        lambda: row_of("sums / 18.75", "unit"),
        lambda: row_of("bias of the output starts at the mean sum", "bias"),
        lambda: row_of("learning rate 0.01 instead of 0.001", "rate"),
        lambda: (
            f"As is, {learned('simple_rnn', 50, 'as-is')} learned after 100 epochs, and "
            f"{learned('simple_rnn', 50, 'as-is', 'end')} with a patience"
        ),
        lambda: (
            f"With the sums divided by 37.5, {learned('simple_rnn', 50, 'unit')} learned, with an error of "
            f"{mse('simple_rnn', 50, 'unit')} where a constant has "
            f"{number(study('simple_rnn', 50, 'unit')['variance'])}. For a digit "
            f"{study('simple_rnn', 50, 'unit')['trainings'][0]['steps_back'][-1]} steps back the output moves by "
            f"{number(moved('simple_rnn', 50, 'unit'))} instead of 1"
        ),
        lambda: (
            f"The error after 100 epochs is {mse('simple_rnn', 12, 'as-is')} as is and "
            f"{mse('simple_rnn', 12, 'unit')} divided by 9"
        ),
        lambda: (
            f"At length 25 the error is {mse('lstm', 25, 'as-is')} after 100 epochs and "
            f"{mse('lstm', 25, 'as-is', 'end')} after 400. At length 50 it is {mse('lstm', 50, 'as-is')} after 100 "
            f"epochs, where a constant has {number(study('lstm', 50, 'as-is')['variance'])} and the output cannot "
            f"exceed {number(median_of('lstm', 50, 'as-is', 'output_bound'))}. It is "
            f"{mse('lstm', 50, 'as-is', 'end')} after 400, when the bound is "
            f"{number(median_of('lstm', 50, 'as-is', 'output_bound', 'end'))}"
        ),
    ],
}


def test_equal_copies_mark_no_step() -> None:
    steps = histories("planted/equal")["steps"]
    assert len(steps) == 5 and not any(steps)


@pytest.mark.parametrize(
    ("document", "sentence"), [(name, sentence) for name, sentences in SENTENCES.items() for sentence in sentences]
)
def test_sentences(document: str, sentence: Callable[[], str]) -> None:
    text = " ".join((PROJECT / document).read_text("utf-8").split())
    assert sentence() in text
