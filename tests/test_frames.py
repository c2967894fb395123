"""`bench.load`: tidy frames, every column documented, no framework imported."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from calling import write_run
from factories import (
    make_accuracy,
    make_baseline,
    make_cell,
    make_failure,
    make_header,
    make_run,
    make_slice,
    make_speed,
    select_all,
)

import bench
from bench.errors import UserError
from bench.output.tables.speed import speed_table
from bench.records.frame import COLUMNS, Kind, frame_of
from bench.records.schema import Record

PROJECT = Path(__file__).parent.parent
RECORDS: list[Record] = [
    make_speed(process=0, rounds=3),
    make_speed(process=1, rounds=3, twin=True),
    make_accuracy(seed=4, patience=20, val_loss=(2.0, 1.0, 0.5)),
    make_baseline(),
    make_failure(make_cell("torch", threads="default"), trial="accuracy", reason="gone"),
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_run(tmp_path, make_header(), RECORDS)
    return tmp_path


def test_speed_has_a_row_for_each_process_and_round(results: Path) -> None:
    frame = bench.load(results)
    assert list(zip(frame["process"], frame["twin"], frame["round"], strict=True)) == [
        (process, twin, number) for process, twin in ((0, False), (1, True)) for number in range(3)
    ]
    assert frame["median_epoch_s"].tolist() == pytest.approx(6 * [0.01])
    assert set(frame["run"]) == {"2030-01-01T00-00-00-test"} and set(frame["machine"]) == {"Test CPU"}


def test_the_turn_that_counts_is_the_undisturbed_one() -> None:
    noisy, calm = make_slice((0.09,), others_cpu_s=9.0), make_slice((0.01,))
    run = make_run([make_speed(slices=[noisy, calm])])
    frame = frame_of([(run, run.records)], "speed")
    assert frame[["median_epoch_s", "disturbed"]].values.tolist() == [[0.01, False]]


def test_accuracy_has_a_row_for_each_training(results: Path) -> None:
    (row,) = bench.load(results, kind="accuracy").to_dict("records")
    assert (row["seed"], row["patience"], row["epochs"], row["val_mse"], row["test_mse"]) == (4, 20, 3, 0.5, 0.5)


def test_failures_and_baselines_have_a_row_each(results: Path) -> None:
    (failure,) = bench.load(results, kind="failures").to_dict("records")
    assert (failure["backend"], failure["threads"], failure["reason"]) == ("torch", "default", "gone")
    (baseline,) = bench.load(results, kind="baselines").to_dict("records")
    assert (baseline["name"], baseline["test_mse"]) == ("mean", 9.0)


def test_one_run_is_read_like_a_folder_of_runs(results: Path) -> None:
    assert bench.load(results / "2030-01-01T00-00-00-test").equals(bench.load(str(results)))


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_frame_without_rows_has_its_columns(kind: Kind) -> None:
    assert list(frame_of([], kind).columns) == list(COLUMNS[kind])


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_column_is_documented(kind: Kind) -> None:
    text = (PROJECT / "docs" / "reading.md").read_text("utf-8")
    assert f'`"{kind}"`' in text
    missing = [name for name in COLUMNS[kind] if f"`{name}`" not in text]
    assert not missing


def test_the_example_of_the_documents_gives_the_figures_of_the_table() -> None:
    cells = [make_cell("jax"), make_cell("torch")]
    noise = (0.010, 0.011, 0.013)
    trials = [make_speed(cell, steady_s=(one,), process=place) for cell in cells for place, one in enumerate(noise)]
    run = make_run([*trials, make_speed(cells[0], steady_s=(9.0,), twin=True)])
    example = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "reading.md").read_text("utf-8"), re.DOTALL)[0]
    steps = example.partition("\n\n")[2].splitlines()[1:-1]  # neither the reading nor the printing
    names: dict[str, Any] = {"speed": frame_of([(run, run.records)], "speed")}
    exec("\n".join(steps), {}, names)
    figures = 1e3 * names["cells"].groupby(["model", "length", "backend"]).median()
    assert figures.tolist() == pytest.approx(speed_table(select_all(*run.records)).frame["epoch ms"].tolist())


def test_an_unknown_kind_or_folder_is_refused(results: Path) -> None:
    with pytest.raises(UserError, match=r"`kind` must be one of speed, .* Did you mean speed\?"):
        bench.load(results, kind="sped")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="Measure first"):
        bench.load(results / "absent")


def test_a_damaged_line_is_a_warning(results: Path) -> None:
    with (results / "2030-01-01T00-00-00-test" / "trials.jsonl").open("a") as lines:
        lines.write('{"kind": "speed"\n')
    with pytest.warns(UserWarning, match="line 6: left out"):
        assert len(bench.load(results)) == 6


def test_the_frame_can_be_pivoted(results: Path) -> None:
    frame = bench.load(results)
    wide = frame[~frame["twin"]].pivot_table(index="length", columns="backend", values="median_epoch_s")
    assert wide.loc[12, "jax"] == pytest.approx(0.01)
    assert isinstance(wide, pd.DataFrame)


def test_importing_bench_imports_nothing_heavy() -> None:
    code = (
        "import sys, bench; heavy = {'pandas', 'numpy', 'keras', 'jax', 'torch', 'tensorflow', 'pydantic'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert answer.stdout.strip() == "[]"
