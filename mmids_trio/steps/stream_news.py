"""What a step tells the event hub, and the log, about one of its streams: one wording for all steps that do."""

from typing import Protocol

import structlog
from attrs import define

from mmids_trio.media.events import StreamId
from mmids_trio.workflow.events import HubEvent, StreamInterrupted, StreamResumed, StreamStalled

log = structlog.get_logger()


class NewsOf(Protocol):
    """The step whose stream it is, as `workflow.step.StepContext` is one."""

    @property
    def workflow(self) -> str:
        """Name of its workflow."""

    @property
    def step_id(self) -> str:
        """Its identity within the workflow."""

    def publish(self, event: HubEvent) -> None:
        """Tell the server's subscribers what has happened."""


@define
class StreamNews:
    """News of one stream of a step. The step is named in each line, as the task may be a client's."""

    context: NewsOf
    stream_id: StreamId
    name: str

    def interrupted(self, seconds: float) -> None:
        """Its source has vanished, and is waited for so long."""
        self.context.publish(StreamInterrupted(*self._place, seconds))
        self._log().warning("stream interrupted", seconds=seconds)

    def stalled(self, seconds: float) -> None:
        """Nothing has come for so long."""
        self.context.publish(StreamStalled(*self._place, seconds))
        self._log().warning("stream stalled", seconds=seconds)

    def resumed(self, gap_ms: int, *, took_over: bool = False) -> None:
        """It goes on, `gap_ms` milliseconds after its last frame."""
        self.context.publish(StreamResumed(*self._place, gap_ms, took_over))
        self._log().info("stream goes on", gap_ms=gap_ms, took_over=took_over)

    def given_up(self, seconds: float) -> None:
        """Its source has not come back in time; that it ends, everybody hears anyway."""
        self._log().info("publisher did not come back", seconds=seconds)

    @property
    def _place(self) -> tuple[str, str, StreamId, str]:
        return self.context.workflow, self.context.step_id, self.stream_id, self.name

    def _log(self) -> structlog.typing.FilteringBoundLogger:
        bound: structlog.typing.FilteringBoundLogger = log.bind(
            workflow=self.context.workflow, step_id=self.context.step_id, stream=self.name
        )
        return bound
