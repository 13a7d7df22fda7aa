"""A step that sends what a test says, and short words for what steps with children get and are fed."""

from collections.abc import Iterable, Sequence

import trio
from attrs import define, field, frozen
from trio.testing import wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId, StreamMetadata, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.checker import Report, StreamChecker
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.processes import FakeProcess
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext
from tests.support.ffmpeg_runs import packets_of


@frozen
class _Lens:
    """One `camera` step."""

    workflow: str
    outboxes: dict[str, Outbox]
    flow: Flow = field(default=Flow.PRODUCES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        self.outboxes[self.workflow] = outbox
        task_status.started()
        await trio.sleep_forever()


@define(eq=False)
class Camera:
    """The `camera` steps of all workflows of a server, and the `record` step behind them."""

    recorder: Recorder = field(factory=Recorder)
    _outboxes: dict[str, Outbox] = field(factory=dict, init=False)

    @property
    def steps(self) -> list[StepType]:
        """For `Harness`."""
        return [StepType("camera", NoParameters, self._build), self.recorder.step_type()]

    def _build(self, _parameters: NoParameters, context: StepContext) -> Step:
        return _Lens(context.workflow, self._outboxes)

    async def send(self, events: Sequence[MediaEvent], workflow: str = "w") -> None:
        """All at once, as one batch; returns when nothing is left to be done without time going by."""
        await self._outboxes[workflow].send(events)
        await wait_all_tasks_blocked()

    async def roll(self, events: Sequence[MediaEvent], workflow: str = "w") -> None:
        """In the time that it says, a second of it at once."""
        second = 0
        batch: list[MediaEvent] = []
        for event in events:
            if isinstance(event, MediaPacket) and event.timestamp // 1000 > second:
                await self._outboxes[workflow].send(batch)
                await trio.sleep(event.timestamp // 1000 - second)
                second, batch = event.timestamp // 1000, []
            batch.append(event)
        await self.send(batch, workflow)


def workflow(*steps: str, name: str = "w") -> str:
    """A workflow of a camera, `steps`, and a recorder."""
    return f"workflow {name} {{\n" + "\n".join(("camera", *steps, "record")) + "\n}\n"


@frozen
class Take:
    """One stream: its packets, and the events around them."""

    stream_id: str = "x"
    name: str = "talk"
    seconds: float = 2.0
    seed: int = 0
    key_frame_bytes: int = 2_000
    packets: list[MediaPacket] = field(init=False)

    @packets.default
    def _generated(self) -> list[MediaPacket]:
        return generate_stream(
            self.stream_id, seconds=self.seconds, seed=self.seed, key_frame_bytes=self.key_frame_bytes
        )

    @property
    def begin(self) -> list[MediaEvent]:
        """Its start and metadata."""
        stream_id = StreamId(self.stream_id)
        return [StreamStarted(stream_id, self.name), StreamMetadata(stream_id, {"videocodecid": 7.0})]

    @property
    def end(self) -> list[MediaEvent]:
        """Its end."""
        return [StreamEnded(StreamId(self.stream_id))]

    @property
    def events(self) -> list[MediaEvent]:
        """All of it but the end."""
        return [*self.begin, *self.packets]

    @property
    def headers(self) -> list[MediaPacket]:
        """Its sequence headers."""
        return [packet for packet in self.packets if packet.is_sequence_header]

    def second(self, number: int) -> list[MediaPacket]:
        """The frames of one second, from its key frame on."""
        return [
            packet for packet in self.packets if packet.timestamp // 1000 == number and not packet.is_sequence_header
        ]

    def report(self, received: bytes | Iterable[MediaPacket]) -> Report:
        """What became of it, on the way into a child's input or a recorder."""
        checker = StreamChecker(self.packets)
        checker.receive_packets(packets_of(received) if isinstance(received, bytes) else received)
        return checker.report()


def fed(child: FakeProcess) -> bytes:
    """All that a child has read."""
    assert child.stdin is not None
    return bytes(child.stdin.received)


def messages(h: Harness, name: str = "w") -> list[tuple[str, str]]:
    """What the details of a workflow say of its steps' streams."""
    return [(stream.name, stream.message) for step in h.workflow(name).active_steps for stream in step.streams]
