"""What the experiments of this folder share: one core, one thread, the machine to themselves, one JSON document.

    with experiment("torch") as document:   # sets the environment: import Keras and the framework inside
        document["measured"] = measure()

prints the document when the block ends, with commit, machine and versions.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from bench.host import code_commit, describe_machine, pinned, usable_cores
from bench.measure.environments import worker_settings
from bench.measure.pool import machine_lock


@contextmanager
def experiment(backend: str) -> Iterator[dict[str, Any]]:
    """Prepare this process for a backend, keep the machine, and print what the block put into the document.

    Args:
        backend: jax, torch or tensorflow; neither it nor Keras may be imported yet.
    """
    os.environ.update(worker_settings(backend, "cpu", 1))
    document: dict[str, Any] = {
        "commit": code_commit(),
        "machine": describe_machine().model_dump(mode="json"),
        "versions": {name: version(name) for name in ("keras", backend)},
    }
    with machine_lock(), pinned(usable_cores()[-1:]):
        yield document
    print(json.dumps(document, indent=1))
