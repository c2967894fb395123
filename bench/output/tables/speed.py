"""Tables of speed: the figures of `bench.analysis.speed` with headings and notes."""

from collections.abc import Callable

import pandas as pd

from bench.analysis import accuracy, speed
from bench.analysis.select import Selection
from bench.analysis.statistics import LEAST_PROCESSES, order_rank
from bench.names import say_count
from bench.output.names import metric_of
from bench.output.tables.table import (
    Column,
    Table,
    add_status,
    cell_table,
    missing_notes,
    sort_rows,
    texts,
    with_interval,
)

MS, MIB, PERCENT = 1e3, 2**-20, 100
MARKED = "Marked: faster than every other backend, by the verdicts of speed-by-backend."
VERDICT = Column("verdict", "verdict", kind="text")
CONSISTENT = Column("consistent", "consistent with 1", kind="text")
RATIO = with_interval("ratio", "ratio")


def overview(selection: Selection) -> Table:
    """Tabulate how fast each backend is beside what was learned."""
    turns, main = selection.frames.turns, selection.header.sweep
    cells = speed.epoch_times(turns)
    cells = cells[(cells["variant"] == str(main.variants[0])) & (cells["threads"] == str(main.threads[0]))]
    place = ["model", "length"]
    frame = cells.pivot(index=place, columns="environment", values="epoch_s").reset_index()
    environments = [name for name in frame.columns if name not in place]
    trainings = selection.frames.trainings
    trainings = trainings[trainings["variant"] == str(main.trained_variants[0])]
    metric = metric_of(trainings)
    notes = [f"Milliseconds of a steady epoch, {_epoch_size(cells)}. {process_note(cells)}" if len(cells) else ""]
    if len(trainings):
        longest = accuracy.longest(trainings)
        learned = accuracy.accuracy(accuracy.average_environments(longest))
        frame = frame.merge(learned[[*place, "test_error", "right_rate"]], on=place, how="outer")
        notes.append(
            f"Errors on {int(longest['test_rows'].max()):,} test rows: means over all backends and "
            f"{say_count(longest['seed'].nunique(), 'seed')}."
        )
    frame = sort_rows(frame)
    fastest = speed.fastest(turns).merge(cells[speed.KEY], on=speed.KEY)
    rows = {(model, length): int(row) for row, model, length in frame[place].itertuples()}
    best = frozenset((rows[cell.model, cell.length], str(cell.environment)) for cell in fastest.itertuples())
    columns = [
        *(Column(name, f"{name} ms", MS, about=name) for name in environments),
        Column("test_error", f"test {metric.error}"),
        Column("right_rate", f"{metric.right} %", PERCENT),
    ]
    variant = f"Of the variant {main.variants[0]}." if str(main.variants[0]) != "default" else ""
    notes += [variant, control_note(selection), MARKED if best else ""]
    return cell_table("overview", "Overview", frame, columns, *notes, best=best)


def speed_table(selection: Selection) -> Table:
    """Tabulate steady epochs."""
    turns = selection.frames.turns
    times = speed.epoch_times(turns).merge(speed.execution_paths(turns), on=speed.KEY, how="left")
    times["rate"] = times["rows_per_epoch"] / times["epoch_s"]
    frame = sort_rows(add_status(times, selection, "speed"))
    fastest = frame[speed.KEY].reset_index().merge(speed.fastest(turns), on=speed.KEY)["index"]
    columns = [
        with_interval("epoch_s", "epoch ms", MS),
        Column("rate", "sequences per s"),
        Column("epoch_j", "epoch J"),
        Column("path", "execution path", kind="text"),
        *texts("status"),
    ]
    energy = "Joules: of the whole GPU, idle power included." if times["epoch_j"].notna().any() else ""
    notes = [
        f"Steady epochs without validation, {_epoch_size(times)}. {interval_note(times)}" if len(times) else "",
        f"{_threads(times)} {energy}".strip(),
        MARKED if len(fastest) else "",
        *missing_notes(selection, "speed"),
    ]
    best = frozenset((int(row), "epoch_s") for row in fastest)
    return cell_table("speed", "Speed", frame, columns, *notes, best=best)


def speed_by_backend(selection: Selection) -> Table:
    """Compare every two backends by the ratio of their epochs."""
    return _ratio_table(selection, "speed-by-backend", "Backends compared by speed", "environment")


def speed_by_model(selection: Selection) -> Table:
    """Compare every two models by the ratio of their epochs."""
    return _ratio_table(selection, "speed-by-model", "Models compared by speed", "model")


def speed_by_threads(selection: Selection) -> Table:
    """Compare numbers of threads by the ratio of their epochs."""
    return _ratio_table(selection, "speed-by-threads", "Threads compared by speed", "threads")


def _ratio_table(selection: Selection, name: str, title: str, by: speed.Axis) -> Table:
    frame = speed.ratios(selection.frames.turns, by)
    frame = frame.assign(pair=frame["first"] + " / " + frame["second"])
    return cell_table(
        name,
        title,
        sort_rows(frame, "first", "second"),
        [Column("pair", "A / B", kind="axis"), RATIO, VERDICT],
        f"Ratio: seconds of an epoch of A / those of B, taken within each round. {interval_note(frame)}",
        verdict_note(frame),
    )


def variants(selection: Selection) -> Table:
    """Compare every variant with the first one of its run: batches, devices, units, compilation, ..."""
    turns = selection.frames.turns
    baselines = {run.header.run: str(run.header.sweep.variants[0]) for run in selection.runs}
    parts = [
        speed.ratios(turns[turns["run"] == run], "variant", second=baseline) for run, baseline in baselines.items()
    ]
    frame = pd.concat(parts).rename(columns={"first": "variant"})
    frame = frame.assign(verdict=speed.verdicts(frame))
    settings = turns[[*speed.KEY, "batching"]].drop_duplicates()
    starts = speed.start_times(turns)[[*speed.KEY, "padding_share", "compilations", "first_epoch_s"]]
    frame = sort_rows(frame.merge(settings, on=speed.KEY).merge(starts, on=speed.KEY))
    frame = frame.merge(speed.device_efficiency(turns), on=speed.KEY, how="left")
    columns = [Column("first_s", "epoch ms", MS), Column("second_s", "baseline ms", MS), RATIO, VERDICT]
    notes = [
        f"Ratio: epoch / that of the baseline ({', '.join(dict.fromkeys(frame['second']))}), taken within each round. "
        f"{interval_note(frame)}",
        verdict_note(frame),
        "Batch size, units, mask and dtype change what is trained, too.",
    ]
    if (frame["batching"] != "padded").any():
        columns += [
            Column("padding_share", "padding %", PERCENT),
            Column("compilations", "compilations", kind="count"),
            Column("first_epoch_s", "first epoch s"),
        ]
        notes.append("Padding: share of the timesteps that hold no digit. Each new shape can need a compilation.")
    if frame["efficiency"].notna().any():
        columns.append(Column("efficiency", "efficiency %", PERCENT))
        notes.append(
            "Efficiency: speed-up over one device / devices. Devices made of one CPU share its cores: they show what "
            "sharing costs."
        )
    return cell_table("variants", "Variants compared by speed", frame, columns, *notes)


def tax(selection: Selection) -> Table:
    """Compare Keras with its ceiling: the same training written in the framework itself."""
    frame = sort_rows(speed.tax(selection.frames.turns))
    columns = [
        Column("first_s", "epoch ms", MS),
        Column("second_s", "ceiling ms", MS),
        with_interval("ratio", "tax"),
        VERDICT,
    ]
    note = (
        f"Tax: epoch with Keras / epoch of its ceiling, the same training written in the framework itself. "
        f"{interval_note(frame)}"
    )
    notes = (note, verdict_note(frame), *missing_notes(selection, "speed"))
    return cell_table("tax", "Framework tax", frame, columns, *notes)


def start(selection: Selection) -> Table:
    """Tabulate what starting costs, validation and memory."""
    times = speed.start_times(selection.frames.turns)
    columns = [
        Column("process_start_s", "process start s"),
        Column("import_s", "import s"),
        Column("build_s", "build s"),
        Column("first_epoch_s", "first epoch s"),
        with_interval("start_s", "total start s"),
        Column("compilations", "compilations", kind="count"),
        Column("epoch_s", "epoch ms", MS),
        Column("validation_s", "validation ms", MS),
        Column("peak_rss_bytes", "memory MiB", MIB),
        Column("peak_device_bytes", "GPU memory MiB", MIB),
        *texts("status"),
    ]
    return cell_table(
        "start",
        "Start, validation and memory",
        sort_rows(add_status(times, selection, "speed")),
        columns,
        f"From starting a process to the end of its first epoch, which holds tracing and compilation. "
        f"{interval_note(times)}",
        "Epoch: a steady one. Validation: a call of evaluate, not the first one, which compiles. Memory: the most that "
        "the process held, libraries included.",
        *missing_notes(selection, "speed"),
    )


def break_even(selection: Selection) -> Table:
    """Tabulate from which epoch on the backend with the faster epochs is ahead, start included."""
    frame = sort_rows(speed.break_even(selection.frames.turns), "faster", "other")
    columns = [
        Column("faster", "faster epochs", kind="axis"),
        Column("other", "other", kind="axis"),
        with_interval("epoch", "break-even epoch", kind="count"),
    ]
    note = (
        "Break-even: the first epoch at whose end the backend with the faster epochs has done as many in less time, "
        f"start included. Validation is not charged. 1: it is ahead from the start. {interval_note(frame)}"
    )
    return cell_table("break-even", "Break-even", frame, columns, note)


def growth(selection: Selection) -> Table:
    """Tabulate how the time of an epoch grows from each length to the next one."""
    turns = selection.frames.turns
    frame = sort_rows(speed.growth(turns))
    columns = [
        Column("next_length", "next length", kind="axis"),
        Column("epoch_s", "epoch ms", MS),
        Column("next_epoch_s", "next ms", MS),
        with_interval("exponent", "exponent"),
    ]
    note = (
        "Exponent: log(next ms / ms) / log(next length / length). 1: an epoch grows in proportion to the length; 0: it "
        f"does not grow. {interval_note(frame)}"
    )
    order = speed.changes_of_order(turns)
    changes = [
        f"{row.first} / {row.second} ({row.model}) from {row.length} to {row.next_length}"
        for row in order[order["decided"]].itertuples()
    ]
    changed = "No two backends are shown to change places." if frame["environment"].nunique() > 1 else ""
    changed = f"Backends change places: {'; '.join(changes)}." if changes else changed
    return cell_table("growth", "Growth with length", frame, columns, note, changed)


def noise(selection: Selection) -> Table:
    """Tabulate what was unsteady: between processes, between rounds, and what others did."""
    frame = sort_rows(speed.noise(selection.frames.turns))
    columns = [
        Column("spread", "between processes %", PERCENT),
        Column("round_spread", "between rounds %", PERCENT),
        Column("turns", "turns", kind="count"),
        Column("disturbed", "disturbed turns", kind="count"),
        Column("others_cores", "CPU of others, cores"),
        Column("steal_cores", "CPU steal, cores"),
        Column("switches_per_s", "switches per s"),
        Column("device_lag_share", "device lag %", PERCENT),
    ]
    note = (
        "Between processes, between rounds: standard deviations. Disturbed: other processes used more than a tenth of "
        "a core. Steal: CPU that the hypervisor gave to others. Switches: how often the worker had to leave its core. "
        "Device lag: how long the device still worked after the clock had stopped, as a share of the turn."
    )
    return cell_table("noise", "Noise", frame, columns, note)


def controls(selection: Selection) -> Table:
    """Compare cells with themselves: the ratio should be 1."""
    frame = speed.controls(selection.frames.turns)
    frame = sort_rows(frame.assign(half_width=speed.half_width(frame)))
    columns = [RATIO, Column("half_width", "half-width %", PERCENT), CONSISTENT]
    note = f"Ratio: the same cell timed twice in the same rounds, as if it were two. {interval_note(frame)}"
    return cell_table("controls", "Controls", frame, columns, note, control_note(selection))


def failures(selection: Selection) -> Table:
    """Tabulate the trials that left no figures."""
    frame = sort_rows(selection.frames.failures)
    columns = [*texts("trial"), Column("index", "process or seed"), *texts("phase", "fault", "reason")]
    return cell_table("failures", "Failures", frame, columns, "Processes and seeds are counted from 0.")


def process_note(frame: pd.DataFrame) -> str:
    """Say what the figures of a frame are medians of."""
    least, most = int(frame["processes"].min()), int(frame["processes"].max())
    span = f"{least}" if least == most else f"{least} to {most}"
    return f"Medians over {span} fresh process{'es' * (most > 1)}."


def interval_note(frame: pd.DataFrame) -> str:
    """Say the same and how their intervals are made."""
    counts = sorted({int(count) for count in frame["processes"].dropna()})
    if not counts:
        return ""
    text = process_note(frame)
    ranks = [(count, *order_rank(count)) for count in counts if order_rank(count)[0]]
    if not ranks:
        ranges = "Range: least to greatest; an" if counts[-1] > 1 else "An"
        return f"{text} {ranges} interval takes {LEAST_PROCESSES} processes."
    count, rank, level = ranks[0]
    if len(counts) == 1:
        ends = "the least to the greatest of them"
        if rank > 1:
            ends = f"number {rank} to number {count + 1 - rank} of them in order"
        return f"{text} The {100 * level:.1f} % interval reaches from {ends}."
    levels = sorted({f"{100 * level:.1f}" for _, _, level in ranks})
    text += f" Intervals by their order, of {' to '.join(dict.fromkeys([levels[0], levels[-1]]))} %"
    return text + ("." if len(ranks) == len(counts) else f"; fewer than {LEAST_PROCESSES} have none.")


def verdict_note(frame: pd.DataFrame) -> str:
    """Say what a verdict is of, and how many intervals of a frame miss by chance."""
    levels = frame["level"].dropna()
    if levels.empty:
        return ""
    return (
        "Verdict: of the first, significant at 5 % over all rows (Student's t of the logarithms, Holm). Of "
        f"{say_count(len(levels), 'interval')} {(1 - levels).sum():.1f} are expected to miss by chance."
    )


def control_note(selection: Selection) -> str:
    """Say how the controls of a selection came out."""
    consistent = speed.controls(selection.frames.turns)["consistent"].dropna()
    if consistent.empty:
        return ""
    cells = say_count(len(consistent), "cell")
    return f"Controls: {cells} timed against themselves, of which {consistent.sum()} came out consistent with 1."


def _epoch_size(cells: pd.DataFrame) -> str:
    sizes = cells[["rows_per_epoch", "steps_per_epoch"]].astype(int).drop_duplicates().sort_values("steps_per_epoch")
    return " or ".join(
        f"{rows:,} sequences in {', '.join(map(str, steps))} steps"
        for rows, steps in sizes.groupby("rows_per_epoch")["steps_per_epoch"]
    )


def _threads(cells: pd.DataFrame) -> str:
    match sorted(set(cells["threads"])):
        case ["1"]:
            return "Each worker has one core and one thread."
        case ["default"]:
            return "Threads and cores: as the frameworks choose."
        case _:
            return "Threads: cores and threads of a worker; default: as the frameworks choose."


TABLES: dict[str, Callable[[Selection], Table]] = {
    "overview": overview,
    "speed": speed_table,
    "speed-by-backend": speed_by_backend,
    "speed-by-model": speed_by_model,
    "speed-by-threads": speed_by_threads,
    "start": start,
    "break-even": break_even,
    "tax": tax,
    "variants": variants,
    "growth": growth,
    "noise": noise,
    "controls": controls,
}
