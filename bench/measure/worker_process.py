"""Start a worker, ask it, and end it: the coordinator's end of `bench.worker`."""

import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import dropwhile
from typing import Self, TypeVar

from pydantic import ValidationError

from bench.errors import UserError
from bench.host import out_of_memory_kills
from bench.measure.environments import worker_environment
from bench.plan.cells import Device
from bench.plan.timing import Limits, Runtime, Threads
from bench.records.failures import WorkerError, ended
from bench.records.schema import Fault, Worker
from bench.worker.messages import REPLY, Error, Phase, Ready, Reply, Request, Start

R = TypeVar("R", bound=Reply)


class WorkerProcess:
    """A running worker.

        with WorkerProcess(python, environment="jax", device="cpu", threads=1, cores=[1], limits=Limits(),
                           runtime=Runtime()) as process:
            process.ready()
            process.ask(OpenTrial(trial=trial), Opened)

    It is ended when the statement is left. It stays on `cores`, and may be silent as long as `limits` say.

    Raises:
        WorkerError: if the interpreter cannot be started.
    """

    worker: Worker
    """What it is; known once it is ready."""

    def __init__(
        self,
        python: str,
        *,
        environment: str,
        device: Device,
        threads: Threads,
        cores: Sequence[int],
        limits: Limits,
        runtime: Runtime,
        devices: int = 1,
    ) -> None:
        self.phase = "start"
        self._limits = limits
        self._kills = out_of_memory_kills()
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        start = Start(
            environment=environment,
            device=device,
            cores=tuple(cores),
            started_at_s=time.monotonic(),
            runtime=runtime,
            memory_gib=limits.memory_gib,
        )
        try:
            self._process = subprocess.Popen(
                [python, "-m", "bench.worker", start.model_dump_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=worker_environment(environment, device, threads, runtime, devices),
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches the coordinator only, which then ends the worker
            )
        except OSError as error:
            self._errors.close()
            raise self._error(f"its interpreter cannot be started ({error.strerror})", "not started") from None
        self.phase = "import"
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and close its pipes."""
        self.end()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):  # what was not yet sent to a dead worker
                pipe.close()  # type: ignore[union-attr]

    @property
    def alive(self) -> bool:
        """Tell whether the worker can be asked again."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    def end(self) -> None:
        """Kill the process, whatever it is doing, and wait until it is gone: one that is still dying looks alive."""
        self._process.kill()
        self._process.wait()

    def ready(self) -> Worker:
        """Wait until the backend is imported and checked.

        Raises:
            UserError: if the backend or device that was asked for is not there.
            WorkerError: if the worker does not get so far.
        """
        self.worker = self._reply(Ready).worker
        return self.worker

    def ask(self, request: Request, reply_type: type[R]) -> R:
        """Send a request and wait for the reply that `bench.worker.messages` promises.

        Raises:
            UserError: if the user's input is wrong, which only `Check` tells.
            WorkerError: if the request fails, or the worker is lost with it: then `alive` is False.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.model_dump_json() + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None
        return self._reply(reply_type)

    def _reply(self, reply_type: type[R]) -> R:
        """Return the next reply; phases pass by."""
        while True:
            reply = self._next_reply()
            if isinstance(reply, Phase):
                self.phase = reply.phase
            elif isinstance(reply, reply_type):
                return reply
            elif not isinstance(reply, Error):
                self.end()
                raise self._error(f"replied out of turn: {reply.kind}", "garbled")
            elif reply.fault == "user":
                raise UserError(reply.reason)
            else:
                raise self._error(reply.reason, reply.fault, reply.printed)

    def _next_reply(self) -> Reply:
        limit_s = self._limits.silence_s(self.phase)
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self.end()
            raise self._error(f"silent for {limit_s:g} s, ended", "silent", self._printed()) from None
        if line is None:
            raise self._ended()
        try:
            return REPLY.validate_json(line)
        except ValidationError:
            self.end()
            raise self._error(f"replied with something else than a message: {line[:80]!r}", "garbled") from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        # what comes before the first message was printed before the worker had its stdout: by a sitecustomize, say
        for line in dropwhile(lambda line: not line.startswith("{"), self._process.stdout):
            self._lines.put(line)
        self._lines.put(None)

    def _ended(self) -> WorkerError:
        """Describe how the process ended."""
        exit_code = self._process.wait()
        by_limit = out_of_memory_kills() > self._kills
        return ended(exit_code, self._printed(), phase=self.phase, by_limit=by_limit)

    def _error(self, reason: str, fault: Fault, printed: Sequence[str] = ()) -> WorkerError:
        return WorkerError(reason, fault, phase=self.phase, printed=printed)

    def _printed(self) -> list[str]:
        """Return what it wrote on stderr."""
        self._errors.seek(0)
        return self._errors.readlines()
