"""What a node knows of its registry: whether it answers, and whether what it does not know means anything.

An absence means nothing for a while after the registry has lost its memory, and after it was away for so long that
entries ended which nobody could renew.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import trio
from attrs import define, field

from mmids_trio.cluster.directory import RENEW_SECONDS, STREAM_TTL_SECONDS, Directory, RegistryAway, StreamEntry

log = structlog.get_logger()

AWAY_SECONDS = 2 * RENEW_SECONDS
"""Without any answer for so long, the registry is said to be away. A single question may get lost."""

ENTRIES_END_SECONDS = STREAM_TTL_SECONDS - RENEW_SECONDS
"""Away for so long, the registry may have lost entries whose owners are well."""

UNSETTLED_SECONDS = 3 * STREAM_TTL_SECONDS
"""So long an absence means nothing then: owners have several tries to claim what is theirs."""

Answer = TypeVar("Answer")


@define(eq=False)
class Contact:
    """A node's contact with its registry. Clocks are monotonic; whatever comes from the registry passes here."""

    directory: Directory
    on_away: Callable[[bool], None] = lambda _: None
    """Told when it goes and when it is back."""
    questions: Counter[str] = field(factory=Counter, init=False)
    failures: Counter[str] = field(factory=Counter, init=False)
    generation: str | None = field(default=None, init=False)
    highest_epoch: int = field(default=0, init=False)
    """Of any key that was seen."""
    is_away: bool = field(default=False, init=False)
    _last_answer: float | None = field(default=None, init=False)
    _unsettled_until: float = field(default=0.0, init=False)

    async def ask(self, what: str, question: Awaitable[Answer]) -> Answer:
        """Ask the registry. Raises `RegistryAway`."""
        self.questions[what] += 1
        try:
            answer = await question
        except RegistryAway as away:
            self.failures[what] += 1
            self._note_failure(trio.current_time(), str(away))
            raise
        self._note_answer(trio.current_time())
        return answer

    async def ask_generation(self) -> None:
        """Find out whether the registry still has its memory. Raises `RegistryAway`."""
        self.note_generation(await self.ask("generation", self.directory.generation()), trio.current_time())

    def note_generation(self, generation: str, now: float) -> None:
        """The registry's memory is of this one."""
        before, self.generation = self.generation, generation
        if before is not None and before != generation:
            self._unsettled_until = now + UNSETTLED_SECONDS
            log.warning("the cluster's registry has lost its memory; its absences mean nothing for a while")

    def note_entry(self, entry: StreamEntry) -> None:
        """An entry was seen: what is claimed from now on gets a higher epoch."""
        self.highest_epoch = max(self.highest_epoch, entry.epoch)

    def is_settled(self, now: float) -> bool:
        """Whether what the registry does not know is not there."""
        return now >= self._unsettled_until

    def _note_answer(self, now: float) -> None:
        silent_s = 0.0 if self._last_answer is None else now - self._last_answer
        if silent_s >= ENTRIES_END_SECONDS:
            self._unsettled_until = max(self._unsettled_until, now + UNSETTLED_SECONDS)
        self._last_answer = now
        if self.is_away:
            self.is_away = False
            log.info("the cluster's registry is back")
            self.on_away(False)

    def _note_failure(self, now: float, why: str) -> None:
        never = self._last_answer is None
        if not self.is_away and (never or now - (self._last_answer or 0.0) >= AWAY_SECONDS):
            self.is_away = True
            log.warning("the cluster's registry is away; what is on the air goes on", reason=why)
            self.on_away(True)
