"""Records: what is written is read back equal, and nothing unknown passes."""

import json

import pytest
from factories import make_accuracy, make_baseline, make_failure, make_header, make_speed, make_sweep
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.plan.cells import BACKENDS, Cell
from bench.records.schema import LINE, Accuracy, Baseline, Failure, Header, Memory, Record
from bench.records.speed import Slice, Speed, Witness
from seqsum_core.metrics import Errors
from seqsum_core.settings import VariantSettings

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SECONDS = st.floats(0, 1e6)
LOSSES = st.floats(0, 3.5e38)
COUNTS = st.integers(0, 2**40)
ERRORS = st.builds(Errors, rows=COUNTS, mse=LOSSES, mae=LOSSES, exact_sum_rate=st.floats(0, 1))
CELLS = st.builds(
    Cell,
    backend=st.sampled_from(BACKENDS),
    device=st.sampled_from(["cpu", "gpu"]),
    model=TEXT,
    length=COUNTS,
    variant=st.builds(
        VariantSettings,
        unroll=st.booleans(),
        jit_compile=st.sampled_from([True, False, "auto"]),
        steps_per_execution=st.integers(1, 99),
    ),
    threads=st.integers(1, 99) | st.just("default"),
)


@st.composite
def probed_slices(draw: st.DrawFn) -> Slice:
    """Draw a turn, with or without probes."""
    epochs = draw(st.integers(0, 5))
    after = draw(st.none() | st.lists(st.integers(0, epochs), max_size=3).map(lambda some: (0, *sorted(some), epochs)))
    seconds = st.none() | st.tuples(SECONDS, SECONDS) if after is None else st.tuples(*[SECONDS] * len(after))
    drawn = st.builds(
        Slice,
        round=COUNTS,
        begun_at_s=SECONDS,
        epochs_s=st.tuples(*[SECONDS] * epochs),
        warmup_epochs=COUNTS,
        others_cpu_s=SECONDS,
        steal_s=SECONDS,
        involuntary_switches=COUNTS,
        probes_s=seconds,
        probed_after=st.just(after),
        fastest_probe_s=st.none() | SECONDS,
    )
    return draw(drawn)


SLICES = probed_slices()
WITNESSES = st.builds(Witness, recurrence=TEXT, xla=st.booleans(), compilations=COUNTS, evidence=TEXT)
SPEEDS = st.builds(
    Speed,
    kind=st.just("speed"),
    cell=CELLS,
    process=COUNTS,
    twin=st.booleans(),
    process_start_s=st.none() | SECONDS,
    import_s=SECONDS,
    build_s=SECONDS,
    start_epochs_s=st.lists(SECONDS, max_size=5).map(tuple),
    slices=st.lists(SLICES, max_size=3).map(tuple),
    validation_s=st.lists(SECONDS, max_size=5).map(tuple),
    steps_per_epoch=COUNTS,
    rows_per_epoch=COUNTS,
    peak_rss_bytes=COUNTS,
    peak_device_bytes=st.none() | COUNTS,
    witness=st.none() | WITNESSES,
)
MEMORIES = st.builds(
    Memory,
    steps_back=st.lists(COUNTS, max_size=5).map(tuple),
    rows=st.lists(COUNTS, max_size=5).map(tuple),
    moved=st.lists(LOSSES, max_size=5).map(tuple),
    gradient_start=st.dictionaries(st.sampled_from("hc"), st.lists(LOSSES, max_size=5).map(tuple)),
    gradient=st.dictionaries(st.sampled_from("hc"), st.lists(LOSSES, max_size=5).map(tuple)),
)
ACCURACIES = st.builds(
    Accuracy,
    kind=st.just("accuracy"),
    cell=CELLS,
    seed=COUNTS,
    patience=st.integers(-1, 99),
    start=st.sampled_from(["numpy", "keras"]),
    loss=st.lists(LOSSES, max_size=5).map(tuple),
    val_loss=st.lists(LOSSES, max_size=5).map(tuple),
    stopped_early=st.booleans(),
    test=ERRORS,
    test_by_length=st.dictionaries(COUNTS, ERRORS, max_size=3),
    predictions=st.lists(st.floats(-1e30, 1e30), max_size=6).map(tuple),
    sums=st.lists(st.integers(), max_size=6).map(tuple),
    way=st.sampled_from(["alone", "replica"]),
    memory=st.none() | MEMORIES,
)
FAILURES = st.builds(
    Failure,
    kind=st.just("failure"),
    trial=st.sampled_from(["speed", "accuracy"]),
    cell=CELLS,
    index=COUNTS,
    twin=st.booleans(),
    phase=TEXT,
    fault=st.sampled_from(["crashed", "silent", "not finite"]),
    reason=TEXT,
    exit_code=st.none() | st.integers(-64, 255),
    printed=st.lists(TEXT, max_size=3).map(tuple),
)
BASELINES = st.builds(Baseline, kind=st.just("baseline"), name=TEXT, length=COUNTS, test=ERRORS)
RECORDS: st.SearchStrategy[Record] = st.one_of(SPEEDS, ACCURACIES, FAILURES, BASELINES)

ONE_OF_EACH: list[Record] = [make_speed(), make_accuracy(), make_baseline(), make_failure()]


@settings(deadline=None)  # a busy machine is no failure
@given(RECORDS)
def test_a_record_is_read_back_equal(record: Record) -> None:
    line = record.model_dump_json()
    assert "\n" not in line
    assert LINE.validate_json(line) == record


def test_a_header_is_read_back_equal() -> None:
    sweep = make_sweep(task={"source": "generated", "digits": (0, 9)}, variant={"jit_compile": False})
    header = make_header(sweep=sweep, profile="näme [x]")
    assert Header.model_validate_json(header.model_dump_json()) == header


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: record.kind)
def test_an_unknown_field_is_refused(record: Record) -> None:
    fields = json.loads(record.model_dump_json()) | {"colour": "red"}
    with pytest.raises(ValidationError, match="colour"):
        LINE.validate_json(json.dumps(fields))


@pytest.mark.parametrize("part", ["cell", "test"])
def test_an_unknown_field_inside_a_part_is_refused(part: str) -> None:
    fields = json.loads(make_accuracy().model_dump_json())
    fields[part]["colour"] = "red"
    with pytest.raises(ValidationError, match=f"{part}.colour"):
        LINE.validate_json(json.dumps(fields))


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: record.kind)
def test_a_record_without_one_of_its_fields_is_refused(record: Record) -> None:
    fields = json.loads(record.model_dump_json())
    later = {"padding_share", "node"}  # written since the schema was, so that older records may lack it
    for name in fields.keys() - {"kind"} - later:
        with pytest.raises(ValidationError, match=name):
            LINE.validate_json(json.dumps({key: value for key, value in fields.items() if key != name}))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="kind"):
        LINE.validate_json('{"kind": "rumour"}')


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_speed().import_s = 0.0


def test_an_unknown_field_inside_a_turn_is_refused() -> None:
    fields = json.loads(make_speed().model_dump_json())
    fields["slices"][0]["colour"] = "red"
    with pytest.raises(ValidationError, match=r"slices\.0\.colour"):
        LINE.validate_json(json.dumps(fields))


def test_epochs_are_counted_from_the_losses() -> None:
    assert make_accuracy(val_loss=(3.0, 2.0, 1.0)).epochs == 3
