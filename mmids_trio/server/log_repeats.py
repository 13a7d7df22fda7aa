"""How often a line may be repeated: so often a second for each event and client, and for each event in all.

Without it who connects again and again writes as much as he likes.  What is left out is counted; once a second one line
for each event says how much that was.  Decided before a line is put together, which is what costs most.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping

import structlog
import trio
from attrs import define, field
from structlog.typing import EventDict, WrappedLogger

from mmids_trio.addresses import source_of
from mmids_trio.net.limits import TokenBucket
from mmids_trio.server.log_lines import LONGEST_VALUE, client_of

BURST_SECONDS = 4
"""Of `log_repeats_per_second` at once: 20 lines, what a reconnecting encoder of a household writes in a minute."""

CLIENTS_AT_ONCE = 20
"""An event has so many times the rate of a client in all: 100 lines a second, and 400 at once."""

MAX_SUBJECTS = 1_000
"""Clients and events that are told apart; who comes when all places are taken shares one."""

TOLD_SUBJECTS = 3
"""Clients that a line about what was left out names."""

TELL_SECONDS = 1.0

REPEATED = "more like this"
"""The event of the lines about lines that were left out."""

_OTHER = "others"
_DECIDED = "_mmids_is_admitted"

log = structlog.get_logger()


@define(eq=False)
class _Event:
    """What happens again and again."""

    in_all: TokenBucket
    by_subject: dict[str, TokenBucket] = field(factory=dict)
    swept_at: float = 0.0
    left_out: Counter[str] = field(factory=Counter)
    """By subject, since that was told last."""


@define(eq=False)
class LogRepeats:
    """Decides which lines are written. `rate`: lines a second of one event and client."""

    rate: float
    clock: Callable[[], float] = time.monotonic
    left_out: int = field(default=0, init=False)
    """Lines, since the beginning."""
    _events: dict[str, _Event] = field(factory=dict, init=False)

    def drop_repeats(self, _logger: WrappedLogger, level: str, line: EventDict) -> EventDict:
        """A processor. Raises `structlog.DropEvent` for a line that is not to be written."""
        if not self.admits(str(line.get("event")), _subject(line)):
            raise structlog.DropEvent
        return line

    def admits(self, event: str, subject: str | None) -> bool:
        """Whether a line is written. A line about nobody counts for its event alone."""
        if event == REPEATED:
            return True
        now = self.clock()
        kind = self._kind(event, now)
        if (subject is None or self._bucket(kind, subject, now).take(1, now)) and kind.in_all.take(1, now):
            return True
        self.left_out += 1
        name = subject if subject in kind.by_subject or subject is None else _OTHER
        kind.left_out[name or ""] += 1
        return False

    def tell(self) -> None:
        """Write how much was left out since the last time, a line for each event."""
        for event, kind in list(self._events.items()):
            if kind.left_out:
                counted, kind.left_out = kind.left_out, Counter()
                most = {subject: count for subject, count in counted.most_common(TOLD_SUBJECTS) if subject}
                log.warning(REPEATED, of=event, left_out=counted.total(), subjects=len(counted), most=most)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell of it once a second, until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(TELL_SECONDS)
            self.tell()

    def _kind(self, event: str, now: float) -> _Event:
        if event not in self._events and len(self._events) >= MAX_SUBJECTS:
            event = _OTHER  # libraries may put anything into their events
        if event not in self._events:
            rate = self.rate * CLIENTS_AT_ONCE
            self._events[event] = _Event(TokenBucket(rate * BURST_SECONDS, rate, now))
        return self._events[event]

    def _bucket(self, kind: _Event, subject: str, now: float) -> TokenBucket:
        buckets = kind.by_subject
        if subject not in buckets and len(buckets) >= MAX_SUBJECTS:
            self._forget_the_calm(kind, now)
            if len(buckets) >= MAX_SUBJECTS:
                subject = _OTHER
        if subject not in buckets:
            buckets[subject] = TokenBucket(self.rate * BURST_SECONDS, self.rate, now)
        return buckets[subject]

    @staticmethod
    def _forget_the_calm(kind: _Event, now: float) -> None:
        """Who has written nothing for a while is as one who never has. Looked for once a second at most."""
        if now >= kind.swept_at + TELL_SECONDS:
            kind.swept_at = now
            for name in [name for name, bucket in kind.by_subject.items() if bucket.is_full(now)]:
                del kind.by_subject[name]


@define(eq=False)
class OncePerRecord(logging.Filter):
    """The same decision for lines of libraries, which do not pass through our processors; one for all handlers."""

    repeats: LogRepeats

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        if isinstance(record.msg, dict):  # ours, and decided already
            return True
        if not hasattr(record, _DECIDED):
            event = f"{record.name}: {record.msg}"[:LONGEST_VALUE]
            setattr(record, _DECIDED, self.repeats.admits(event, _subject(structlog.contextvars.get_contextvars())))
        return bool(getattr(record, _DECIDED))


def _subject(line: Mapping[str, object]) -> str | None:
    """Whom a line is about: the address of a client, else the step or the workflow."""
    if (client := client_of(line)) is not None:
        host, colon, port = client.rpartition(":")
        return source_of(host.strip("[]") if colon and port.isdecimal() and not host.endswith(":") else client)
    parts = [str(line[name]) for name in ("workflow", "step_id") if name in line]
    return "/".join(parts)[:LONGEST_VALUE] or None
