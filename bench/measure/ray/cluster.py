"""A Ray cluster: its nodes, a task on one of them, and what becomes of it.

A task runs once, on the node that it is meant for, in a fresh process; a task that fails is never repeated here.
Source: https://docs.ray.io/en/latest/ray-core/api (Ray 2.60).
"""

import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self

from bench.errors import UserError
from bench.host import usable_cores

CONNECT_LIMIT_S = 10.0
"""How long an address may take to accept a connection."""
STORE_BYTES = 100 * 2**20
"""Of Ray's object store where this module starts one: records are small."""


@dataclass(frozen=True)
class ClusterNode:
    """A machine of a cluster, as Ray knows it.

    Args:
        name: Ray's identifier, shortened.
        ray_id: the identifier in full.
        host: its name in the network, for the screen only.
        cpus: tasks that it may run at once.
        gpus: that Ray may give to tasks.
    """

    name: str
    ray_id: str
    host: str
    cpus: int
    gpus: int

    def __str__(self) -> str:
        return f"node {self.name} ({self.host})"


class TaskLostError(Exception):
    """A task left no answer, because its process or its node has ended."""


class RayCluster(ExitStack):
    """A Ray cluster, connected to until the `with` statement is left.

    Args:
        address: of a running cluster ("auto": that of this machine), or None: start one of this machine alone.

    Raises:
        UserError: if Ray is not installed, or nothing answers at the address.
    """

    def __init__(self, address: str | None) -> None:
        if find_spec("ray") is None:
            raise UserError("`--executor` ray needs Ray. Received: a Python without it. Install it: pip install ray")
        super().__init__()
        self._address = address
        self._running: list[Any] = []

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._ray: Any = ray
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
        if self._address is None:
            settings |= {"num_cpus": len(usable_cores()), "include_dashboard": False}
            settings |= {"object_store_memory": STORE_BYTES}
        try:
            if self._address not in (None, "auto"):  # Ray itself would go on trying for minutes
                host, _, port = self._address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=CONNECT_LIMIT_S).close()
            ray.init(address=self._address or "local", **settings)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"`--address` must be HOST:PORT of a running Ray cluster, or auto. Received: {self._address or 'none'} "
                f"({_first_line(error)}). Correct it, or start a cluster: ray start --head"
            ) from None
        self.callback(self._leave)
        return self

    def _leave(self) -> None:
        for task in self._running:
            with suppress(Exception):  # whatever a cluster that is breaking answers
                self._ray.cancel(task, force=True)
        self._ray.shutdown()

    def nodes(self) -> list[ClusterNode]:
        """Return the nodes that are there now and may run tasks."""
        nodes = []
        for node in self._ray.nodes():
            cpus, gpus = (int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU"))
            if node["Alive"] and cpus:
                nodes.append(ClusterNode(node["NodeID"][:8], node["NodeID"], node["NodeManagerHostname"], cpus, gpus))
        return nodes

    def call(self, function: Callable[[str], str], argument: str, node: ClusterNode, *, cpus: int, gpus: int) -> Any:
        """Let a node call a function of an installed module in a fresh process, JSON in and JSON out.

        Returns:
            The task, which `wait` returns again when it has ended.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node.ray_id, soft=False)
        options = {"max_retries": 0, "max_calls": 1, "scheduling_strategy": there}
        remote = self._ray.remote(num_cpus=cpus, num_gpus=gpus, **options)(function)
        self._running.append(remote.remote(argument))
        return self._running[-1]

    def wait(self) -> Any:
        """Wait until any task has ended, and return it."""
        (task, *_), _ = self._ray.wait(self._running, num_returns=1)
        self._running.remove(task)
        return task

    def answer(self, task: Any) -> str:
        """Return what the function of an ended task has returned.

        Raises:
            TaskLostError: if its node or process ended before it did.
            UserError: if it raised one, or another error: then the node has no seqsum, or an older one.
        """
        try:
            return str(self._ray.get(task))
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise UserError(f"{_first_line(error.cause or error)}. Install the same seqsum on every node.") from None
        except self._ray.exceptions.RayError as error:
            raise TaskLostError(_first_line(error)) from None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".")[:300] if lines else type(error).__name__
