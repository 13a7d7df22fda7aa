"""Answers of reactors, counted by reactor and result. Told of every event of the server, it keeps those."""

from collections import Counter

from attrs import define, field

from mmids_trio.workflow.events import HubEvent, ReactorAnswered


@define(eq=False)
class AnswerCounts:
    """See the module; `note` is a listener of the hub."""

    counts: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    """By reactor and result: `valid`, `invalid` or `failed`."""

    def note(self, event: HubEvent) -> None:
        """Count an event, if it is an answer."""
        if isinstance(event, ReactorAnswered):
            result = "failed" if event.error is not None else "valid" if event.valid else "invalid"
            self.counts[event.reactor, result] += 1
