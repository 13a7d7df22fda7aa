"""A kind of executor for configurations: `reactor r executor=scripted`, answered by what a test has written down."""

from contextlib import nullcontext

import trio
from attrs import define, field

from mmids_trio.config.parser import parse
from mmids_trio.reactors.executor import Answer, ExecutorFailure, ExecutorKind


@define(eq=False)
class Lookups:
    """See `reactors.executor.Executor`. `answers` holds the text of a stream's workflows; others are not valid."""

    answers: dict[str, str] = field(factory=dict)
    asked: list[str] = field(factory=list)
    is_down: bool = False
    seconds: float = 0
    """How long every answer takes."""

    async def ask(self, stream_name: str) -> Answer:
        """See `reactors.executor.Executor`."""
        self.asked.append(stream_name)
        await trio.sleep(self.seconds)
        if self.is_down:
            raise ExecutorFailure("the service is down")
        text = self.answers.get(stream_name)
        return Answer(False) if text is None else Answer(True, tuple(parse(text, stream_name).workflows))

    def kind(self) -> ExecutorKind:
        """For `Harness(more_executors=...)`."""
        return ExecutorKind("scripted", (), lambda _: nullcontext(self))
