"""Headlines: what is said to be faster is shown by an interval, and every doubt is said."""

from typing import Any

import pytest
from factories import (
    make_cell,
    make_failure,
    make_processes,
    make_run,
    make_slice,
    make_speed,
    select_all,
)
from whole_runs import NOISE, ceilings, controls, timings, trainings, whole_selection

from bench.analysis.accuracy_lines import lines_over_lengths
from bench.analysis.findings import Findings
from bench.analysis.selection import select
from bench.output.report.doubts import doubts
from bench.output.report.headlines import (
    Answer,
    answers,
    learned,
    main_title,
    say_backends_alike,
    subtitle,
)
from bench.records.schema import Accuracy, Record

SHUFFLED = (*NOISE[1:], NOISE[0])


def said(*records: Record) -> list[Answer]:
    return answers(Findings(select_all(*records)))


def facts(*records: Record, **fields: Any) -> dict[str, bool]:
    chosen = select_all(*records, **fields)
    found = Findings(chosen)
    return {fact.text: fact.good for fact in doubts(chosen, found, answers(found))}


def of(backend: Any, seconds: Any, length: int = 12, **fields: Any) -> list[Record]:
    return [*make_processes(make_cell(backend, length=length), seconds=seconds, **fields)]


def test_a_backend_that_is_shown_to_be_faster_is_named_with_its_ratio() -> None:
    one = said(*of("jax", NOISE), *of("torch", [10 * value for value in NOISE]))[0]
    assert (one.proof, one.leaders, one.text) == ("clear", ("jax",), "jax is fastest.")
    assert one.closest == pytest.approx(10.0)
    assert [contender.name for contender in one.contenders] == ["jax", "torch"]
    assert one.contenders[1].against.startswith("10.0 times as long (")
    assert one.contenders[0].against == "" and one.contenders[0].share == pytest.approx(0.1)


def test_the_order_of_names_does_not_matter() -> None:
    """Ratios are stored later name / earlier name: here the later one is the faster."""
    one = said(*of("torch", NOISE), *of("jax", [4 * value for value in NOISE]))[0]
    assert one.leaders == ("torch",) and one.closest == pytest.approx(4.0)
    assert one.contenders[1].against.startswith("4.00 times as long (")
    low, high = one.contenders[1].against.partition("(")[2].rstrip(")").split(" to ")
    assert float(low) <= 4.0 <= float(high)


def test_no_difference_is_said_where_the_interval_holds_one() -> None:
    one = said(*of("jax", NOISE), *of("torch", SHUFFLED), *of("tensorflow", [9 * value for value in NOISE]))[0]
    assert one.proof == "tie" and one.closest is None
    assert one.text == "No difference is shown between jax and torch."
    assert "no difference" in one.contenders[1].against and "no difference" not in one.contenders[2].against


def test_without_intervals_nothing_is_proved() -> None:
    one = said(*of("jax", [1.0, 1.1]), *of("torch", [2.0, 2.1]))[0]
    assert one.proof == "open" and one.text == "jax had the shortest epochs, but that is not shown."
    assert one.contenders[1].against.endswith("no interval")


def test_backends_of_different_runs_are_not_compared() -> None:
    runs = [
        make_run(of("torch", [2 * value for value in NOISE]), "2030-01-01T00-00-00-old"),
        make_run(of("jax", NOISE), "2030-01-02T00-00-00-new"),
    ]
    (one,) = answers(Findings(select(runs)))
    assert one.proof == "open" and one.contenders[1].against == "no turns in common"


def test_one_backend_alone_is_no_winner() -> None:
    (one,) = said(*of("jax", NOISE))
    assert one.proof == "alone" and one.text == "Only jax was measured."
    assert main_title([one]) == "Only jax was measured" and subtitle([one]) == ""


def test_since_when_it_pays_is_said_beside_the_slower_backend() -> None:
    (one,) = said(*timings(models=["lstm"], lengths=[4], backends=["jax", "torch"], noise=[1.0] * 5))
    assert one.contenders[1].pays == "jax is ahead after epoch 29"
    (one,) = said(*of("jax", NOISE, import_s=1.0), *of("torch", [2 * value for value in NOISE], import_s=2.0))
    assert one.contenders[1].pays == "jax is ahead from the start"


def test_threads_are_answered_apart() -> None:
    wide = [make_speed(make_cell(threads="default"), steady_s=(0.5,), process=number) for number in range(5)]
    found = said(*of("jax", NOISE), *wide)
    assert [one.leaders for one in found] == [("jax",), ("jax, default threads",)]


def test_the_title_names_a_backend_that_wins_everywhere() -> None:
    found = answers(Findings(whole_selection()))
    assert {one.proof for one in found} == {"clear"} and len(found) == 4
    assert main_title(found) == "jax trains fastest"
    assert subtitle(found).startswith("In all 4 comparisons of backends on one model and length, the next fastest ")


def test_the_title_does_not_hide_that_it_depends() -> None:
    found = said(
        *of("jax", NOISE, 4), *of("torch", [2 * value for value in NOISE], 4),
        *of("jax", [2 * value for value in NOISE], 12), *of("torch", NOISE, 12),
        *of("jax", NOISE, 25), *of("torch", SHUFFLED, 25),
    )  # fmt: skip
    assert main_title(found) == "It depends: jax in 1, torch in 1 and undecided in 1 of 3 comparisons"
    assert "In 2 of 3 comparisons" in subtitle(found) and "2.00 times" in subtitle(found)


def test_the_title_claims_nothing_that_is_not_shown() -> None:
    few = said(*of("jax", [1.0]), *of("torch", [2.0]))
    assert main_title(few) == "Not decided: jax had the shortest epochs in 1 of 1 comparisons"
    assert subtitle(few) == "An interval needs 5 processes of two backends in the same run."
    assert main_title(said(*of("jax", NOISE), *of("torch", SHUFFLED))).startswith("No backend is shown to be faster")
    assert main_title([]) == "What was learned: speed was not measured"


def test_a_sound_run_has_no_doubt() -> None:
    sound = facts(*timings(), *controls())
    assert all(sound.values()), sound
    assert any(text.startswith("Every answer is decided: the 95 % intervals of 4 comparisons") for text in sound)
    assert any(text.startswith("1 control (a cell against itself), and every interval holds 1.") for text in sound)
    assert "No trial failed." in sound


def test_a_control_that_misses_one_is_a_doubt() -> None:
    cell = [*of("jax", NOISE), *of("torch", [2 * value for value in NOISE])]
    found = facts(*cell, *of("jax", [1.5 * value for value in NOISE], twin=True))
    (text,) = (text for text in found if "(a cell against itself)" in text)
    assert text.startswith("1 of 1 control (a cell against itself) miss 1.") and not found[text]


def test_missing_controls_failures_load_and_age_are_doubts() -> None:
    found = facts(make_speed(), make_speed(make_cell("torch")), make_failure(), load_average=1.86, protocol_version=1)
    bad = [text for text, good in found.items() if not good]
    for part in ("0 of 1 comparison decided, 1 without an interval", "timed against itself", "1 trial failed"):
        assert any(part in text for text in bad), part
    for part in ("load 1.86", "older protocol"):
        assert any(part in text for text in bad), part


@pytest.mark.parametrize(("disturbed", "good"), [(1, True), (10, False)])
def test_disturbed_turns_are_counted(disturbed: int, good: bool) -> None:
    slices = [make_slice(number=number, others_cpu_s=9.0 * (number < disturbed)) for number in range(40)]
    found = facts(make_speed(slices=slices))
    (text,) = (text for text in found if "turns" in text)
    assert text.startswith(f"{disturbed} of 40 turns") and found[text] is good


def test_older_runs_that_were_left_out_are_counted() -> None:
    old = make_run([make_speed()], "2030-01-01T00-00-00-old", protocol_version=1)
    chosen = select([old, make_run([make_speed()], "2030-01-02T00-00-00-new")])
    found = Findings(chosen)
    assert any("1 older run left out" in fact.text for fact in doubts(chosen, found, answers(found)))


def test_what_was_learned_is_said_best_model_first() -> None:
    trials = [record for record in trainings() if isinstance(record, Accuracy)]
    mse = lines_over_lengths(trials, lambda trial: trial.test.mse, 1e9)
    exact = lines_over_lengths(trials, lambda trial: 100 * trial.test.exact_sum_rate, 100.0)
    assert learned(mse, exact) == [
        f"Length {length}, sums exactly right: LSTM 90.0 % (MSE 0.120) and SimpleRNN 60.0 % (MSE 1.20)."
        for length in (4, 12)
    ]


def test_whether_the_backends_learn_the_same_is_said() -> None:
    assert say_backends_alike([]) == ""
    assert say_backends_alike(["equal"] * 3) == "The backends learn the same: all 3 pairs are shown to be equal."
    assert say_backends_alike(["equal", "open"]).endswith("Of 2 pairs, 1 are shown to be equal, 0 different, 1 open.")


def test_ceilings_are_no_contenders() -> None:
    said = answers(Findings(whole_selection(*ceilings())))
    assert [answer.title for answer in said] == [answer.title for answer in answers(Findings(whole_selection()))]
    assert not any("ceiling" in one.name for answer in said for one in answer.contenders)
