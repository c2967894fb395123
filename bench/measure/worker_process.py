"""Start a worker, talk to it, and end it: the coordinator's end of `bench.worker`."""

import queue
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from bench.errors import UserError
from bench.measure.environments import worker_environment
from bench.plan.cells import Cell, Group, Trial
from bench.plan.timing import Limits, Runtime
from bench.records.failures import WorkerLostError, ended, failure, raised
from bench.records.schema import Accuracy, Failure, Way, Worker
from bench.records.speed import Slice, Speed
from bench.worker.messages import (
    ANSWER,
    Answer,
    AnyRequest,
    CheckRequest,
    Computed,
    Done,
    Epoch,
    Failed,
    GroupDone,
    Leave,
    OverheadDone,
    OverheadRequest,
    ParityRequest,
    Parked,
    Phase,
    Ready,
    ReplayDone,
    ReplayRequest,
    SeedsTimed,
    SpeedRequest,
    Start,
    TimeRequest,
    TrainRequest,
    Turn,
    TurnDone,
    Wrong,
)
from seqsum_core.parity_case import Case, Quantity


class WorkerProcess:
    """A running worker. Use it in a `with` statement: it is ended when the statement is left.

    Args:
        python: the interpreter.
        cell: any cell of the backend, device and threads that it shall run.
        cores: logical cores it stays on.
        limits: how long it may be silent in each phase, and what memory it may take.
        runtime: precision, determinism and flags.

    Raises:
        WorkerLostError: if the interpreter cannot be started.
    """

    def __init__(
        self, python: str, cell: Cell, *, cores: list[int], limits: Limits, runtime: Runtime | None = None
    ) -> None:
        self.core = cores[-1]
        self._limits = limits
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        runtime = runtime or Runtime()
        start = Start(
            backend=cell.backend,
            device=cell.device,
            cores=tuple(cores),
            started_at_s=time.time(),
            runtime=runtime,
            memory_gib=limits.memory_gib,
        )
        try:
            self._process = subprocess.Popen(
                [python, "-m", "bench.worker", start.model_dump_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=worker_environment(cell.backend, cell.device, cell.threads, runtime, cell.variant.devices),
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches the coordinator only, which then ends the worker
            )
        except OSError as error:
            self._errors.close()
            raise WorkerLostError(f"its interpreter cannot be started ({error.strerror})", "not started") from None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.phase = "import"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):  # what was not yet sent to a dead worker
                pipe.close()  # type: ignore[union-attr]

    def end(self) -> None:
        """Kill the process, whatever it is at."""
        self._process.kill()

    def ready(self) -> Worker:
        """Wait until the backend is imported and proved.

        Raises:
            UserError: if the worker says that the device or backend asked for is not there.
            WorkerLostError: if it does not get so far.
        """
        match self._next_answer():
            case Ready(worker=worker):
                return worker
            case Wrong(message=message):
                raise UserError(message)
        raise WorkerLostError("answered out of turn", "garbled")

    def check(self, trial: Trial) -> None:
        """Let the worker build a trial's model.

        Raises:
            UserError: if the model cannot be used.
            WorkerLostError: if the worker does not answer.
        """
        answer = self._ask(CheckRequest(trial=trial))
        if isinstance(answer, Wrong | Failed):
            raise UserError(answer.message if isinstance(answer, Wrong) else answer.reason)

    def train(self, group: Group) -> list[Accuracy | Failure]:
        """Let the worker train seeds of one cell; whatever goes wrong becomes a failure of each.

        Returns:
            The records; if the worker is lost, `alive` is False then.
        """
        try:
            answer = self._ask(TrainRequest(group=group))
            if isinstance(answer, GroupDone):
                return list(answer.records)
            raise _out_of_turn(answer)
        except WorkerLostError as lost:
            return [failure(trial, self.phase, lost) for trial in group.trials]

    def time(self, group: Group, way: Way) -> SeedsTimed:
        """Let the worker train seeds in one way and say how long it took.

        Raises:
            WorkerLostError: if it does not.
        """
        answer = self._ask(TimeRequest(group=group, way=way))
        if isinstance(answer, SeedsTimed):
            return answer
        raise _out_of_turn(answer)

    def park(self, trial: Trial) -> Parked:
        """Let the worker begin a speed trial and wait until its fit is warm and parked.

        Raises:
            WorkerLostError: if it does not get so far.
        """
        answer = self._ask(SpeedRequest(trial=trial))
        if isinstance(answer, Parked):
            return answer
        raise _out_of_turn(answer)

    def run_turn(self, turn: Turn) -> Slice:
        """Let a parked fit run a turn.

        Raises:
            WorkerLostError: if it does not get to its end.
        """
        self.begin_turn(turn)
        return self.end_turn()

    def begin_turn(self, turn: Turn) -> None:
        """Release a parked fit for a turn; one that tells its epochs has a first step for all of the warm-up.

        Raises:
            WorkerLostError: if it is gone.
        """
        self._write(turn.model_dump_json())

    def step(self) -> None:
        """Wait until the warm-up, or the next counted epoch, of a turn that tells them has ended.

        Raises:
            WorkerLostError: if it does not.
        """
        answer = self._answer()
        if not isinstance(answer, Epoch):
            raise _out_of_turn(answer)

    def end_turn(self) -> Slice:
        """Wait until a turn has ended and the fit is parked again.

        Raises:
            WorkerLostError: if it does not get so far.
        """
        answer = self._answer()
        if isinstance(answer, TurnDone):
            return answer.slice
        raise _out_of_turn(answer)

    def leave(self) -> Speed:
        """Let a parked fit end and return its record.

        Raises:
            WorkerLostError: if there is none.
        """
        answer = self._ask(Leave())
        if isinstance(answer, Done) and answer.record is not None:
            return answer.record
        raise _out_of_turn(answer)

    def weigh(self, request: OverheadRequest) -> OverheadDone:
        """Let the worker measure what timing adds to a bare fit.

        Raises:
            WorkerLostError: if it does not.
        """
        answer = self._ask(request)
        if isinstance(answer, OverheadDone):
            return answer
        raise _out_of_turn(answer)

    def replay(self, request: ReplayRequest) -> ReplayDone | Failed:
        """Let the worker repeat a run of 2017; whatever goes wrong becomes a failure.

        Returns:
            What came out, or why nothing did; if the worker is lost, `alive` is False then.
        """
        try:
            answer = self._ask(request)
        except WorkerLostError as lost:
            return Failed(reason=f"{lost}, in {self.phase}")
        return answer if isinstance(answer, ReplayDone | Failed) else Failed(reason="answered out of turn")

    def compute(self, case: Case) -> tuple[Quantity, ...]:
        """Let the worker compute its side of a case of a parity certificate.

        Raises:
            WorkerLostError: if it does not; then `alive` tells whether the worker is lost too.
        """
        answer = self._ask(ParityRequest(case=case))
        if isinstance(answer, Computed):
            return answer.quantities
        raise _out_of_turn(answer)

    @property
    def pid(self) -> int:
        """Return the process' number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether the worker can be asked again."""
        return self._process.poll() is None

    def _ask(self, request: AnyRequest | Leave) -> Answer:
        self._write(request.model_dump_json())
        return self._answer()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._how_it_ended() from None

    def _answer(self) -> Answer:
        """Return the next answer that ends something; phases pass by."""
        while True:
            answer = self._next_answer()
            if not isinstance(answer, Phase):
                return answer
            self.phase = answer.phase

    def _next_answer(self) -> Answer:
        limit_s = self._limits.patience_s(self.phase)
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self._kill()
            raise WorkerLostError(f"silent for {limit_s:g} s, ended", "silent", printed=self._printed()) from None
        if line is None:
            raise self._how_it_ended()
        try:
            return ANSWER.validate_json(line)
        except ValidationError:
            self._kill()
            raise WorkerLostError(f"said something else than an answer: {line[:80]!r}", "garbled") from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _kill(self) -> None:
        """End the process for sure: one that is still dying would look alive and be asked for the next trial."""
        self._process.kill()
        self._process.wait()

    def _how_it_ended(self) -> WorkerLostError:
        return ended(self._process.wait(), self._printed())

    def _printed(self) -> list[str]:
        """Return what it wrote on stderr."""
        self._errors.seek(0)
        return self._errors.readlines()


def _out_of_turn(answer: Answer) -> WorkerLostError:
    if isinstance(answer, Failed):
        return raised(answer.reason)
    return WorkerLostError(f"answered out of turn: {answer.answer}", "garbled")
