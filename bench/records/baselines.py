"""What models without recurrence get on a task, as records."""

from bench.records.schema import Baseline
from seqsum_core import tasks
from seqsum_core.baselines import baseline_errors
from seqsum_core.settings import TaskSettings


def baselines(settings: TaskSettings, length: int) -> tuple[Baseline, ...]:
    """Judge every baseline on the fresh rows of a task, and on the test rows of its split."""
    data = tasks.split(tasks.draw(settings, length=length), settings)
    fresh = tasks.fresh_rows(settings, length=length)
    judged = [data.test] if fresh is None else [fresh, data.test]
    found = baseline_errors(data.fitted, *judged, judge=data.task.judge)
    return tuple(
        Baseline(name=name, length=length, test=test, split_test=split[0] if split else None)
        for name, (test, *split) in found.items()
    )
