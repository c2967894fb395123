"""Speed trials on a real backend: one fit, cut into its start and the turns that are asked for."""

import io
import json
from collections.abc import Iterable
from itertools import chain, pairwise, repeat
from time import sleep
from typing import Any

import pytest

from bench.errors import NotAvailableError
from bench.plan.cells import Cell, Settings, Trial
from bench.plan.timing import Timing
from bench.worker.__main__ import Server
from bench.worker.messages import AtPark, Done, Failed, Leave, OverheadDone, OverheadRequest, Parked, SpeedRequest, Turn
from bench.worker.pace import FIRST_PROBES, PROBE_EVERY_S
from seqsum_core.settings import VariantSettings

pytestmark = pytest.mark.backend

TIMING = Timing(warmup_epochs=2, warmup_s=0, slice_epochs=3, slice_s=0, validations=2)
PATHS = {"jax": "scan", "torch": "python_loop", "tensorflow": "while_loop"}
QUICK_PATHS = PATHS | {"torch": "fused"}
"""Where fused layers and ceilings run."""


@pytest.fixture
def speed_trials() -> Any:
    return pytest.importorskip("bench.worker.speed", exc_type=ImportError)


def running() -> str:
    import keras

    return str(keras.backend.backend())


def make_trial(
    *,
    model: str = "simple_rnn",
    length: int = 4,
    expect: str | None = None,
    variant: VariantSettings | None = None,
    **timing: Any,
) -> Trial:
    chosen = variant or VariantSettings()
    cell = Cell(backend=running(), device="cpu", model=model, length=length, variant=chosen)  # type: ignore[arg-type]
    settings = Settings(timing=TIMING.model_copy(update=timing))
    return Trial(kind="speed", cell=cell, index=3, settings=settings, twin=True, expect=expect)


class Measured:
    """A speed trial run to its end, and what it told on the way."""

    def __init__(self, speed_trials: Any, trial: Trial, turns: Iterable[Turn]) -> None:
        self.phases: list[str] = []
        self.parked: list[Any] = []
        self.told_s: list[float] = []
        requests: Any = iter([*turns, Leave()])

        def park(parked: Any) -> AtPark:
            self.parked.append(parked)
            request: AtPark = next(requests)
            return request

        self.record = speed_trials.measure_speed(
            trial, process_start_s=0.5, import_s=1.5, report=self.phases.append, park=park, tell=self.told_s.append
        )


def test_record_holds_the_start_every_turn_and_the_path(speed_trials: Any) -> None:
    turns = [Turn(round=number, begun_at_s=10.0 * number) for number in range(3)]
    measured = Measured(speed_trials, make_trial(), turns)
    record = measured.record
    assert measured.phases == ["build", "first epoch", "turns", "witness", "validation"]
    assert len(record.start_epochs_s) == 1 + TIMING.warmup_epochs
    assert record.first_epoch_s > max(record.start_epochs_s[1:]) or running() == "torch"  # tracing and compilation
    assert [(turn.round, turn.begun_at_s) for turn in record.slices] == [(0, 0.0), (1, 10.0), (2, 20.0)]
    for turn in record.slices:
        assert turn.warmup_epochs == TIMING.warmup_epochs and len(turn.epochs_s) == 2 + 3
        assert turn.steady_s == turn.epochs_s[2:] and min(turn.epochs_s) > 0
        assert min(turn.others_cpu_s, turn.steal_s, turn.involuntary_switches) >= 0
    assert measured.told_s == []
    assert len(record.validation_s) == 2 and record.build_s > 0
    assert (record.process_start_s, record.import_s, record.process, record.twin) == (0.5, 1.5, 3, True)
    assert (record.steps_per_epoch, record.rows_per_epoch) == (17, 1620)
    assert record.peak_rss_bytes > 50 * 2**20 and record.peak_device_bytes is None
    assert record.witness.recurrence == PATHS[running()]


def test_park_is_told_the_last_warm_up_epoch_and_then_every_turn(speed_trials: Any) -> None:
    measured = Measured(speed_trials, make_trial(), [Turn(round=0), Turn(round=0), Turn(round=1)])
    first, *others = measured.parked
    assert isinstance(first, Parked) and first.epoch_s == pytest.approx(measured.record.start_epochs_s[-1], abs=1e-9)
    assert [told.slice for told in others] == list(measured.record.slices)
    assert [turn.round for turn in measured.record.slices] == [0, 0, 1]


def test_fit_that_is_released_at_once_has_no_turns(speed_trials: Any) -> None:
    record = Measured(speed_trials, make_trial(), []).record
    assert record.slices == () and len(record.start_epochs_s) == 3 and len(record.validation_s) == 2


def test_waiting_in_the_park_is_in_no_epoch(speed_trials: Any) -> None:
    waited_s = 1.0
    requests: Any = iter([Turn(round=0), Turn(round=1), Leave()])

    def park(_: Any) -> AtPark:
        sleep(waited_s)
        request: AtPark = next(requests)
        return request

    record = speed_trials.measure_speed(
        make_trial(), process_start_s=None, import_s=0.0, report=lambda _: None, park=park, tell=lambda _: None
    )
    longest_s = [max(turn.epochs_s) for turn in record.slices]
    assert min(longest_s) < waited_s, "each turn has a wait before it"


def test_turn_is_as_long_as_the_settings_say(speed_trials: Any) -> None:
    (turn,) = Measured(speed_trials, make_trial(slice_s=0.5, warmup_s=0.3), [Turn(round=0)]).record.slices
    warmup_s, steady_s = turn.epochs_s[: turn.warmup_epochs], turn.steady_s
    assert len(warmup_s) >= 2 and sum(warmup_s) >= 0.3
    assert len(warmup_s) == 2 or sum(warmup_s[:-1]) < 0.3
    assert len(steady_s) >= 3 and sum(steady_s) >= 0.5
    assert len(steady_s) == 3 or sum(steady_s[:-1]) < 0.5


def test_nobody_probes_unless_asked(speed_trials: Any) -> None:
    (turn,) = Measured(speed_trials, make_trial(), [Turn(round=0)]).record.slices
    assert (turn.probes_s, turn.probed_after, turn.fastest_probe_s, turn.slowed) == (None, None, None, False)


def test_probes_stand_around_the_warm_up_and_then_between_epochs_of_a_tenth_of_a_second(speed_trials: Any) -> None:
    (turn,) = Measured(speed_trials, make_trial(slice_s=0.5), [Turn(round=0, calm_s=0.0)]).record.slices
    assert turn.probed_after[:2] == (0, turn.warmup_epochs) and turn.probed_after[-1] == len(turn.epochs_s)
    for begin, end in pairwise(turn.probed_after[1:]):
        assert sum(turn.epochs_s[begin:end]) >= PROBE_EVERY_S
        assert begin + 1 == end or sum(turn.epochs_s[begin : end - 1]) < PROBE_EVERY_S
    assert len(turn.steady_s) == len(turn.warm_s) and not turn.slowed
    assert turn.fastest_probe_s == min(turn.probes_s)


def slow_until(monkeypatch: pytest.MonkeyPatch, probes: int) -> None:
    """Play a host that is half as fast from the first turn on, until so many probes were taken."""
    seconds = chain(repeat(0.001, FIRST_PROBES), repeat(0.002, probes), repeat(0.001))
    monkeypatch.setattr("bench.worker.pace.work_s", lambda: next(seconds))


def test_a_turn_goes_on_until_enough_of_its_epochs_are_calm(speed_trials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_until(monkeypatch, 6)
    asked = Turn(round=0, calm_s=60.0, fastest_probe_s=0.001)
    (turn,) = Measured(speed_trials, make_trial(slice_epochs=4, slice_s=0.2), [asked]).record.slices
    assert not turn.slowed and len(turn.steady_s) >= 4 and sum(turn.steady_s) >= 0.2
    assert turn.steady_s == turn.epochs_s[turn.probed_after[6] :], "from the first calm probe on"
    assert turn.slow_s == turn.epochs_s[turn.warmup_epochs : turn.probed_after[6]]


@pytest.mark.parametrize("calm_s", [0.0, 0.5])
def test_a_turn_gives_up_when_its_time_is_spent(
    speed_trials: Any, monkeypatch: pytest.MonkeyPatch, calm_s: float
) -> None:
    slow_until(monkeypatch, 10_000)
    asked = Turn(round=0, calm_s=calm_s, fastest_probe_s=0.001)
    (turn,) = Measured(speed_trials, make_trial(slice_epochs=1, slice_s=0.2), [asked]).record.slices
    assert turn.slowed and turn.steady_s == turn.warm_s == turn.slow_s
    last = turn.probed_after[-2]
    assert sum(turn.slow_s) >= max(0.2, calm_s) and sum(turn.epochs_s[turn.warmup_epochs : last]) <= max(0.2, calm_s)


def test_turn_without_warm_up_counts_every_epoch(speed_trials: Any) -> None:
    record = Measured(speed_trials, make_trial(warmup_epochs=0), [Turn(round=0, tell=True)]).record
    (turn,) = record.slices
    assert len(record.start_epochs_s) == 1 and turn.warmup_epochs == 0 and turn.steady_s == turn.epochs_s


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_turn_counts_as_many_epochs_as_it_was_asked_for_and_tells_each(speed_trials: Any, warmup_epochs: int) -> None:
    trial = make_trial(slice_s=100.0, warmup_epochs=warmup_epochs)
    measured = Measured(speed_trials, trial, [Turn(round=0, epochs=7, tell=True), Turn(round=1, epochs=1)])
    first, second = measured.record.slices
    assert len(first.steady_s) == 7 and len(second.steady_s) == 1
    assert len(measured.told_s) == 1 + 7
    assert measured.told_s[0] == pytest.approx(sum(first.epochs_s[:warmup_epochs]), abs=1e-8)
    assert measured.told_s[1:] == pytest.approx(first.steady_s, abs=1e-8)


def test_expected_path_passes_and_another_one_is_an_error_that_names_both(speed_trials: Any) -> None:
    path = PATHS[running()]
    record = Measured(speed_trials, make_trial(expect=path), [Turn(round=0)]).record
    with pytest.raises(ValueError, match=f"`expect` is fused, but {path} ran") as error:
        Measured(speed_trials, make_trial(expect="fused"), [Turn(round=0)])
    assert record.witness.evidence.split()[-1] in str(error.value)  # what was seen


def test_harness_is_weighed_in_as_many_pairs_as_asked(speed_trials: Any) -> None:
    told: list[str] = []
    found = speed_trials.weigh_harness(make_trial(), fit_s=0.1, repeats=3, report=told.append)
    bare_s, timed_s, inside_s = found
    assert told == ["pair of fits"] * 3
    assert len(bare_s) == len(timed_s) == len(inside_s) == 3
    assert min(*bare_s, *timed_s) > 0
    assert all(0 < inside < timed / 2 for inside, timed in zip(inside_s, timed_s, strict=True))


def served(request: Any, monkeypatch: pytest.MonkeyPatch, *lines: AtPark) -> tuple[Any, list[dict[str, Any]]]:
    """Let a worker's server answer a request; return its answer and what it told before."""
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(line.model_dump_json() + "\n" for line in lines)))
    said = io.StringIO()
    answer = Server(said, process_start_s=0.5, import_s=1.5).serve(request)
    return answer, [json.loads(line) for line in said.getvalue().splitlines()]


def test_worker_parks_takes_its_turns_and_leaves(speed_trials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turn(round=0), Turn(round=1, epochs=2, tell=True)
    answer, told = served(SpeedRequest(trial=make_trial()), monkeypatch, *turns, Leave())
    assert [line["answer"] for line in told if line["answer"] != "phase"] == [
        "parked",
        "turned",
        *["epoch"] * 3,
        "turned",
    ]
    assert isinstance(answer, Done) and answer.record is not None
    assert [len(turn.steady_s) for turn in answer.record.slices] == [3, 2]
    assert (answer.record.process_start_s, answer.record.import_s) == (0.5, 1.5)


def test_worker_whose_coordinator_is_gone_leaves(speed_trials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, _ = served(SpeedRequest(trial=make_trial()), monkeypatch, Turn(round=0))
    assert isinstance(answer, Done) and answer.record is not None and len(answer.record.slices) == 1


def test_worker_answers_an_unmet_expectation_and_a_wrong_model_as_failures(
    speed_trials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmet, _ = served(SpeedRequest(trial=make_trial(expect="cudnn")), monkeypatch, Leave())
    wrong, told = served(SpeedRequest(trial=make_trial(model="own_models:wrong_output")), monkeypatch)
    assert isinstance(unmet, Failed) and unmet.reason.startswith("ValueError: `expect` is cudnn, but ")
    assert isinstance(wrong, Failed) and "must output shape" in wrong.reason
    assert [line["answer"] for line in told] == ["phase"]


def test_worker_weighs_the_harness(speed_trials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, told = served(OverheadRequest(trial=make_trial(), fit_s=0.05, repeats=2), monkeypatch)
    assert isinstance(answer, OverheadDone) and len(answer.bare_s) == len(answer.timed_s) == 2
    assert [line["phase"] for line in told] == ["pair of fits"] * 2, "a worker that works is not silent"


@pytest.mark.parametrize("implementation", ["fused", "ceiling"])
def test_other_implementations_are_timed_like_keras(speed_trials: Any, implementation: Any) -> None:
    trial = make_trial(variant=VariantSettings(implementation=implementation))
    record = Measured(speed_trials, trial, [Turn(round=0), Turn(round=1)]).record
    assert record.cell.variant.implementation == implementation
    assert [len(turn.epochs_s) for turn in record.slices] == [2 + 3, 2 + 3]
    assert len(record.validation_s) == 2 and min(record.validation_s) > 0
    assert record.witness.recurrence == QUICK_PATHS[running()]


def test_sizes_of_a_variant_are_built(speed_trials: Any) -> None:
    from bench.worker.accuracy import build_model

    trial = make_trial(variant=VariantSettings(units=5))
    sized = trial.model_copy(update={"settings": trial.settings.of(trial.cell.variant)})
    assert build_model(sized).layers[0].units == 5


def test_a_policy_reaches_every_layer_and_no_later_model(speed_trials: Any) -> None:
    from bench.worker.accuracy import build_model

    mixed = build_model(make_trial(variant=VariantSettings(dtype="mixed_bfloat16")))
    assert {layer.compute_dtype for layer in mixed.layers} == {"bfloat16"}
    assert {layer.compute_dtype for layer in build_model(make_trial()).layers} == {"float32"}


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        ({"variant": VariantSettings(implementation="ceiling", dtype="mixed_bfloat16")}, "mixed_bfloat16"),
        (
            {"variant": VariantSettings(implementation="ceiling"), "model": "own_models:compiled"},
            "not for own_models:compiled",
        ),
        (
            {"variant": VariantSettings(implementation="fused"), "model": "own_models:compiled"},
            "not for own_models:compiled",
        ),
    ],
)
def test_what_is_not_written_is_not_available(speed_trials: Any, trial: dict[str, Any], words: str) -> None:
    with pytest.raises(NotAvailableError, match=words):
        Measured(speed_trials, make_trial(**trial), [])


def test_what_a_backend_refuses_is_told_in_its_own_words(speed_trials: Any) -> None:
    """PyTorch takes one step per execution; the others take several."""
    trial = make_trial(variant=VariantSettings(steps_per_execution=2))
    if running() != "torch":
        assert Measured(speed_trials, trial, [Turn(round=0)]).record.slices
        return
    with pytest.raises(NotAvailableError, match="`steps_per_execution` must be 1 with the PyTorch backend"):
        Measured(speed_trials, trial, [])


def test_a_clock_that_waits_is_hardly_late_and_one_that_does_not_is_found_out(
    speed_trials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Measured(speed_trials, make_trial(), [Turn(round=0)]).record
    assert 0 <= record.slices[0].late_s < sum(record.slices[0].steady_s)
    as_long_s = sum(record.slices[0].warm_s)
    monkeypatch.setattr(speed_trials.backend, "synchronize", lambda device: sleep(as_long_s))
    with pytest.raises(RuntimeError, match="the clock does not wait"):
        Measured(speed_trials, make_trial(), [Turn(round=0), Turn(round=1)])


@pytest.mark.parametrize("batching", ["bucketed", "exact"])
def test_sequences_of_several_lengths_are_trained_in_one_fit(speed_trials: Any, batching: Any) -> None:
    padded = Measured(speed_trials, make_trial(), [Turn(round=0)]).record
    record = Measured(speed_trials, make_trial(variant=VariantSettings(batching=batching)), [Turn(round=0)]).record
    assert record.steps_per_epoch >= padded.steps_per_epoch and record.rows_per_epoch == padded.rows_per_epoch
    assert record.padding_share < padded.padding_share
    assert record.witness.recurrence == PATHS[running()]
    if running() == "jax":
        assert record.witness.compilations > 2, "one for full batches and one for the rest were enough when padded"
