"""Try a user's own model and task inside a backend's process, before anything is measured.

Imported by the worker only, after the backend was imported.
"""

from bench.plan.cells import start_file
from bench.worker import messages
from bench.worker.models import build_model, draw_rows
from seqsum_core.nn import models, own
from seqsum_core.settings import require


def check(request: messages.Check) -> messages.Checked:
    """Try model and task on a real batch, and keep the starting weights of the seeds that are asked for.

    Raises:
        ValueError: if the model or the task is not usable.
    """
    trial = request.trial
    name, batch_size = trial.cell.model, trial.settings.training.batch_size
    data = draw_rows(trial)
    of_task = ":" in trial.settings.task.name
    if of_task:
        sizes = {"fitted": len(data.fitted), "validation": len(data.validation)}
        rule = f"Task `{trial.settings.task.name}` must have at least {batch_size} fitted rows, and one to validate on."
        enough = len(data.fitted) >= batch_size and len(data.validation) > 0
        require(enough, rule, sizes, "Return more rows, or lower batch_size.")
    arrays = [array for part in (data.fitted, data.validation, data.test) for array in own.row_arrays(part)]
    task = own.fingerprint(arrays) if of_task else ""
    model = build_model(trial, data.task)
    if ":" not in name:
        return messages.Checked(task=task, shape=data.task)
    compiled = own.build_own(name, trial.cell.length).compiled
    for variant in request.variants:
        is_fused = variant.implementation == "fused"
        with models.dtype_policy(variant.dtype):
            built = own.build_own(name, trial.cell.length, is_fused=is_fused)
        own.refuse_unreceived(built, name, trial.settings.training, variant)
    own.try_model(model, name, data, batch_size=batch_size)
    facts = own.facts_of(model, name, compiled=compiled)
    if request.starts is not None:
        starts = own.draw_starts(name, trial.cell.length, data, seeds=request.seeds)
        own.save_starts(start_file(request.starts, trial.cell), starts)
    return messages.Checked(
        model=facts.fingerprint,
        task=task,
        shape=data.task,
        shapes=facts.shapes,
        compiled=compiled,
        loss_name=facts.loss,
    )
