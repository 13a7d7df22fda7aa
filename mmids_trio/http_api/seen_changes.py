"""What of the changes that were made somebody sees: all who may read, else what was done with workflows of one's own.

Of a change that was about others' workflows, too, that is its part: not their text, and nothing that may tell of them.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from attrs import evolve

from mmids_trio.http_api.tokens import Caller
from mmids_trio.state.history import CUT, ChangeRecord, ChangeSummary

Record = TypeVar("Record", bound=ChangeSummary)

SEEN_PER_TURN = 16
"""Changes that are looked at between two turns of everybody else; each may name a hundred workflows."""


def seen_by(caller: Caller, records: Iterable[ChangeSummary]) -> Iterator[ChangeSummary | None]:
    """Each as they see it; `None` in place of one that they do not."""
    sees = _sight(caller)
    for record in records:
        yield record if sees is None else _part(record, sees)


def record_seen_by(caller: Caller, record: ChangeRecord) -> ChangeRecord | None:
    """One with its texts."""
    sees = _sight(caller)
    if sees is None or (part := _part(record, sees)) is None or part is record:
        return record if sees is None else part
    headers = {f"workflow {each.workflow}{flag} {{" for each in part.workflows for flag in ("", " routed_by_reactor")}
    return evolve(part, before=_text_of(record.before, headers), after=_text_of(record.after, headers))


def _sight(caller: Caller) -> Callable[[str], bool] | None:
    """Which workflows' changes they see; `None`: all."""
    return None if caller.may("read") or caller.may_change_everything else caller.may_change


def _part(record: Record, sees: Callable[[str], bool]) -> Record | None:
    mine = tuple(each for each in record.workflows if sees(each.workflow))
    if not mine:
        return None
    if len(mine) == len(record.workflows) and not record.more_workflows and not record.reactors:
        return record
    # Who was disconnected, and why it failed, is of all of them together.
    return evolve(record, workflows=mine, more_workflows=0, reactors=(), publishers=0, watchers=0, message="")


def _text_of(text: str, headers: set[str]) -> str:
    """The workflows that begin with one of these lines, as the history writes them: steps stand within, indented."""
    kept, is_mine = [], False
    for line in text.splitlines(keepends=True):
        is_mine = is_mine or line.rstrip("\n") in headers
        if is_mine or line == CUT:
            kept.append(line)
        is_mine = is_mine and line != "}\n"
    return "".join(kept)
