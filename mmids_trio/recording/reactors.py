"""Executors of reactors that tell a recorder what they were asked and what they answered.

Apart from the kinds of executors, all of which are recorded in the same way: by their answers, not by their bytes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from attrs import evolve, frozen

from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import MmidsError, Problem
from mmids_trio.reactors.executor import Answer, Executor, ExecutorChoice, ExecutorRegistry
from mmids_trio.recording import records
from mmids_trio.recording.recorder import Recorder


class RecordedExecutors(ExecutorRegistry):
    """The executors of another registry, which are noted."""

    def __init__(self, executors: ExecutorRegistry, recorder: Recorder) -> None:
        super().__init__(())
        self._executors, self._recorder = executors, recorder

    def problems(self, definition: ReactorDefinition) -> list[Problem]:
        """See `ExecutorRegistry`."""
        return self._executors.problems(definition)

    def choose(self, definition: ReactorDefinition) -> ExecutorChoice:
        """See `ExecutorRegistry`."""
        choice = self._executors.choose(definition)

        @asynccontextmanager
        async def open_recorded() -> AsyncIterator[Executor]:
            async with choice.open() as executor:
                yield _RecordedExecutor(executor, definition.name, self._recorder)

        return evolve(choice, open=open_recorded)


@frozen
class _RecordedExecutor:
    _executor: Executor
    _reactor: str
    _recorder: Recorder

    async def ask(self, stream_name: str) -> Answer:
        """See `Executor`."""
        question = self._recorder.number()
        self._recorder.note(records.Asked(self._recorder.now(), question, self._reactor, stream_name))
        outcome, text = records.CANCELLED, ""
        try:
            answer = await self._executor.ask(stream_name)
            outcome = records.VALID if answer.valid else records.INVALID
            text = _written(answer)
        except MmidsError as error:
            outcome, text = records.FAILED, str(error)
            raise
        except Exception as error:
            outcome, text = records.FAILED, f"the request crashed: {type(error).__name__}"
            raise
        finally:
            self._note_answer(question, outcome, text)
        return answer

    def _note_answer(self, question: int, outcome: str, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        self._recorder.note(records.Told(self._recorder.now(), question, outcome, data))


def _written(answer: Answer) -> str:
    """The workflows of an answer; of those that an executor of one's own made in code, what can be written."""
    written = ""
    for workflow in answer.workflows:
        with suppress(ValueError):
            written += write_workflow(workflow)
    return written
