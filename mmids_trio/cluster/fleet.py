"""One node's part in changes of all nodes at once: it carries out what is decided, reports, and leads on request.

`revisions` has the documents and what follows from them.  Here is the task that reads them, when a hint comes and every
`RENEW_SECONDS` in any case, and the question that one node puts to all.  The task announces nothing; who does asks
`is_in_date`, so that a node which cannot see what is decided is not among those that count for longer than its entry.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

import structlog
import trio
from attrs import define, field

from mmids_trio.cluster.directory import (
    ASK_SECONDS,
    NODE_TTL_SECONDS,
    RENEW_SECONDS,
    Directory,
    Document,
    Incarnation,
    NodeEntry,
    RegistryAway,
)
from mmids_trio.cluster.questions import NodeAnswer, Outcome, Question
from mmids_trio.cluster.revisions import (
    CONFIG_NAME,
    FleetState,
    NodePlan,
    Proposal,
    Report,
    Revision,
    Stage,
    Unreadable,
    Verdict,
    report_name,
    reports_prefix,
    to_do,
)
from mmids_trio.cluster.sealing import Seal
from mmids_trio.errors import MmidsError

CATCH_UP_SECONDS = 3.0
"""How long a node that starts asks what is decided; a registry that is away keeps nobody off the air."""

VOTE_SECONDS = NODE_TTL_SECONDS + 5.0
"""For all nodes to say whether they could: who died meanwhile is not there any more by then."""

GATHER_SECONDS = 0.25
"""From one look at the reports to the next."""

REPORT_TTL_SECONDS = 120.0
"""Reports are for who asks; what a node serves stands in its entry."""

WRITE_TRIES, TRY_AGAIN_SECONDS = 8, 1.0
"""Of a write that was not answered."""

APPLY_AGAIN_SECONDS = 15.0
"""Until a node that could not carry out what is decided tries again."""

IN_DATE_SECONDS = RENEW_SECONDS + ASK_SECONDS
"""How old what a node knows may be for it to be announced."""

log = structlog.get_logger()


class LocalConfiguration(Protocol):
    """What a node does with the fleet's configuration."""

    async def plan(self, text: str, revision: Revision) -> NodePlan:
        """What it would do. Raises `MmidsError` where it cannot be."""

    async def apply(self, text: str, revision: Revision) -> None:
        """Put it in place, all of it or nothing. Raises `MmidsError`."""


def one_reason(error: MmidsError) -> Sequence[str]:
    """Why a node cannot, where nobody hides anything."""
    return [str(error)]


@define(eq=False)
class _Asked:
    """A question at work."""

    question: Question
    over: trio.Event = field(factory=trio.Event, init=False)
    result: Outcome | MmidsError | None = field(default=None, init=False)


@define(eq=False, kw_only=True)
class Fleet:
    """This node's part. `reasons_of` says of an error what others may read; `on_change` is told of every news."""

    _directory: Directory
    owner: Incarnation
    _seal: Seal
    _local: LocalConfiguration
    _reasons_of: Callable[[MmidsError], Sequence[str]] = one_reason
    on_change: Callable[[], None] = lambda: None
    _is_settled: Callable[[], bool] = lambda: True
    """Whether who is missing in the registry is not there."""
    decided: Revision | None = field(default=None, init=False)
    """The newest that this node knows to be decided."""
    serves: int = field(default=0, init=False)
    """The number of the revision that is in place; 0 for none."""
    reasons: tuple[str, ...] = field(default=(), init=False)
    """Why it does not serve what is decided, a sentence each: then it has to be drained."""
    _read_at: float = field(default=-inf, init=False)
    _apply_again_at: float = field(default=inf, init=False)
    _forgot_at: float = field(default=-inf, init=False)
    """When the registry was seen to know less than this node."""
    _reported: Revision | None = field(default=None, init=False)
    _unsaid: tuple[int, Report] | None = field(default=None, init=False)
    """A report that the registry does not have yet, of the revision of that number."""
    _asked: _Asked | None = field(default=None, init=False)
    _woken: trio.Event = field(factory=trio.Event, init=False)
    _work: trio.Event = field(factory=trio.Event, init=False)

    @property
    def is_in_date(self) -> bool:
        """Whether this node has lately seen what is decided, and has tried to carry it out."""
        return trio.current_time() - self._read_at <= IN_DATE_SECONDS

    async def catch_up(self) -> bool:
        """Carry out what is decided, before anybody is served; whether it is known, and in place."""
        state = None
        with trio.move_on_after(CATCH_UP_SECONDS):
            while state is None:
                try:
                    state, _ = await self._read()
                except RegistryAway:
                    await trio.sleep(TRY_AGAIN_SECONDS)
                except Unreadable as error:
                    log.warning("fleet's configuration is not read", reason=str(error))
                    return False
        if state is None:
            log.warning("fleet's configuration is not known yet: the registry is away")
        elif state.decided is not None:
            await self._carry_out(state.decided)
        return self.serves > 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow what is decided, and lead what is asked here, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._lead_all)
            task_status.started()
            while True:
                await self._beat()
                with trio.move_on_after(RENEW_SECONDS):
                    await self._woken.wait()
                self._woken = trio.Event()

    async def state(self) -> FleetState:
        """What the registry says. Raises `RegistryAway` and `Unreadable`."""
        return (await self._read())[0]

    async def ask(self, question: Question) -> Outcome:
        """Ask all nodes, and decide where all can. Who stops waiting does not stop it.

        Raises `MmidsError`: `RegistryAway` where nothing was proposed, `CannotSeal`.
        """
        if self._asked is not None:
            return Outcome("busy", self._number, reason="another change of the fleet is under way at this node")
        asked = self._asked = _Asked(question)
        self._work.set()
        await asked.over.wait()
        if isinstance(asked.result, MmidsError):
            raise asked.result
        assert asked.result is not None
        return asked.result

    def unsealed(self, revision: Revision) -> str:
        """The text of a revision. Raises `CannotUnseal`."""
        return self._seal.unseal(revision.text, _place(revision.number))

    # What is decided.

    @property
    def _number(self) -> int:
        return 0 if self.decided is None else self.decided.number

    async def _listen(self) -> None:
        """Wake the task when the document has changed; a hint that gets lost costs one pause."""
        while True:
            try:
                async with self._directory.changes() as changes:
                    async for name in changes:
                        if name == CONFIG_NAME:
                            self._woken.set()
            except RegistryAway:
                pass
            await trio.sleep(RENEW_SECONDS)

    async def _beat(self) -> None:
        try:
            await self._say_again()
            state, version = await self._read()
            await self._do(state, version)
        except RegistryAway:
            return
        except Unreadable as error:
            log.warning("fleet's configuration is not read", reason=str(error))

    async def _read(self) -> tuple[FleetState, int]:
        began = trio.current_time()
        document = await self._directory.read(CONFIG_NAME)
        try:
            state = FleetState() if document is None else FleetState.from_text(document.text)
        except Unreadable:
            self._read_at = began  # what this version cannot read keeps none of its nodes out
            raise
        if state.number == self._number:
            self._read_at = began
        return state, 0 if document is None else document.version

    async def _do(self, state: FleetState, version: int) -> None:
        match to_do(state, self.decided, self._reported):
            case "restore":
                assert self.decided is not None
                self._forgot_at = trio.current_time()
                log.warning("registry has forgotten the fleet's configuration", revision=self._number)
                await self._directory.write(CONFIG_NAME, state.restore(self.decided).to_text(), version)
            case "apply":
                assert state.decided is not None
                began = trio.current_time()
                await self._carry_out(state.decided)
                self._read_at = began
            case "report":
                assert state.proposal is not None
                await self._judge(state.proposal.revision)
            case None if self.decided is not None and trio.current_time() >= self._apply_again_at:
                await self._carry_out(self.decided)

    async def _carry_out(self, revision: Revision) -> None:
        before = self.reasons
        try:
            await self._local.apply(self.unsealed(revision), revision)
        except MmidsError as error:
            self.reasons = tuple(self._reasons_of(error)) or ("it failed",)
            self._apply_again_at = trio.current_time() + APPLY_AGAIN_SECONDS
            if self.reasons != before or self._number != revision.number:
                log.warning(
                    "fleet's configuration cannot be put in place", revision=revision.number, reasons=self.reasons
                )
        else:
            self.serves, self.reasons, self._apply_again_at = revision.number, (), inf
            log.info("fleet's configuration is in place", revision=revision.number)
        self.decided = revision
        self.on_change()
        stage: Stage = "failed" if self.reasons else "applied"
        await self._say(revision.number, Report.of_reasons(self.owner, stage, self.reasons))

    async def _judge(self, revision: Revision) -> None:
        try:
            report = Report(self.owner, "can", (), await self._local.plan(self.unsealed(revision), revision))
        except MmidsError as error:
            report = Report.of_reasons(self.owner, "cannot", self._reasons_of(error))
        self._reported = revision
        await self._say(revision.number, report)

    async def _say(self, number: int, report: Report) -> None:
        self._unsaid = number, report
        try:
            await self._say_again()
        except RegistryAway:
            return

    async def _say_again(self) -> None:
        if self._unsaid is None:
            return
        number, report = self._unsaid
        name = report_name(number, self.owner.node)
        await self._directory.write(name, report.to_text(), None, REPORT_TTL_SECONDS)
        self._unsaid = None

    # Leading.

    async def _lead_all(self) -> None:
        """One question after the other; each ends, whatever becomes of the registry."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            asked = self._asked
            assert asked is not None
            try:
                asked.result = await self._lead(asked.question)
            except MmidsError as error:
                asked.result = error
            self._asked = None
            asked.over.set()

    async def _lead(self, question: Question) -> Outcome:
        state, version = await self._read()
        nodes = await self._directory.nodes()
        if refusal := self._premature(question, state, nodes):
            return refusal
        number = max(state.highest, self._number, 0 if self._reported is None else self._reported.number) + 1
        revision = Revision(
            number,
            self._seal.seal(question.text, _place(number)),
            question.who,
            take_over=question.take_over,
            in_place=question.in_place,
            allow_empty=question.allow_empty,
        )
        proposed = state.propose(Proposal(revision, self.owner, question.is_plan))
        written = await self._write(proposed, version)
        if written is None:
            return Outcome("lost", state.number, reason="another node was quicker to change the fleet")
        self._woken.set()
        answers = await self._gather(number, "can", VOTE_SECONDS)
        outcome = _judged(question, answers, state.number)
        if outcome is not None:
            await self._withdraw(proposed, written)
            return outcome
        return await self._decide(proposed, written, question.wait, answers)

    def _premature(self, question: Question, state: FleetState, nodes: Sequence[NodeEntry]) -> Outcome | None:
        """Why nothing can be proposed now."""
        if question.based_on is not None and question.based_on != state.number:
            return Outcome("lost", state.number, reason=f"revision {state.number} was decided meanwhile")
        lives = {node.owner for node in nodes}
        pending = state.proposal
        if pending is not None and pending.by != self.owner and pending.by in lives:
            return Outcome("busy", state.number, reason=f"a change through node {pending.by.node} is under way")
        has_forgotten = trio.current_time() - self._forgot_at < NODE_TTL_SECONDS or state.number < self._number
        if has_forgotten or self.owner not in lives or not self._is_settled():
            return Outcome(
                "busy", state.number, reason="the registry does not know all nodes yet; try again in some seconds"
            )
        return None

    async def _withdraw(self, proposed: FleetState, version: int) -> None:
        """A proposal that stays behind is in nobody's way: this node replaces its own, others that of one who left."""
        try:
            await self._write(proposed.withdraw(), version)
        except RegistryAway:
            log.warning("a proposal stays in the registry", revision=proposed.highest)

    async def _decide(self, proposed: FleetState, version: int, wait: float, votes: Sequence[NodeAnswer]) -> Outcome:
        number = proposed.highest
        try:
            if await self._write(proposed.decide(), version) is None:
                now, _ = await self._read()
                if now.number != number:
                    return Outcome("lost", now.number, tuple(votes), "another node replaced the proposal")
        except RegistryAway:
            reason = "the registry was away when it was decided; plan --fleet shows whether it was"
            return Outcome("unknown", proposed.number, tuple(votes), reason)
        self._woken.set()
        done = await self._gather(number, "applied", wait)
        plans = {vote.node: vote.plan for vote in votes}
        answers = tuple(
            NodeAnswer(each.node, each.stage, each.reasons, plans.get(each.node, each.plan)) for each in done
        )
        missing = [each.node for each in answers if each.stage != "applied"]
        if missing:
            reason = f"revision {number} is decided, and not in place at {', '.join(missing)}"
            return Outcome("partly", number, answers, reason)
        return Outcome("applied", number, answers)

    async def _write(self, state: FleetState, version: int) -> int | None:
        """The version of what was written; `None` where somebody else has written meanwhile. Raises `RegistryAway`."""
        text = state.to_text()
        for attempt in range(WRITE_TRIES):
            try:
                written = await self._directory.write(CONFIG_NAME, text, version)
                if written is not None:
                    return written.version
                found = await self._directory.read(CONFIG_NAME)
            except RegistryAway:
                await trio.sleep(TRY_AGAIN_SECONDS)
            else:  # it may be ours all the same, of a try that was not answered
                return found.version if attempt and found is not None and found.text == text else None
        raise RegistryAway("the registry does not answer")

    async def _gather(self, number: int, expected: Stage, seconds: float) -> Sequence[NodeAnswer]:
        """What the nodes that are there say, as soon as all have, or after so long."""
        answers: Sequence[NodeAnswer] = ()
        deadline = trio.current_time() + seconds
        while True:
            try:
                nodes = await self._directory.nodes()
                documents = await self._directory.documents(reports_prefix(number))
                answers, is_complete = _answers(number, expected, nodes, documents)
                if is_complete:
                    return answers
            except RegistryAway:
                pass
            if trio.current_time() >= deadline:
                return answers
            await trio.sleep(GATHER_SECONDS)


def _place(number: int) -> str:
    """What a sealed text is good for."""
    return f"{CONFIG_NAME} {number}"


def _answers(
    number: int, expected: Stage, nodes: Sequence[NodeEntry], documents: Sequence[tuple[str, Document]]
) -> tuple[Sequence[NodeAnswer], bool]:
    """What each node says, and whether all have said something."""
    reports: dict[str, Report] = {}
    for name, document in documents:
        try:
            reports[name.removeprefix(reports_prefix(number))] = Report.from_text(document.text)
        except Unreadable:
            continue
    verdict = Verdict.of(nodes, reports, (expected,))
    answers = []
    for node in sorted({node.owner.node for node in nodes}):
        if node in verdict.waiting:
            answers.append(NodeAnswer(node, None, (), NodePlan()))
        else:
            report = reports[node]
            answers.append(NodeAnswer(node, report.stage, report.reasons, report.plan))
    return answers, bool(nodes) and not verdict.waiting


def _judged(question: Question, answers: Sequence[NodeAnswer], number: int) -> Outcome | None:
    """How it ends without a decision; `None`: it is to be decided."""
    nodes = tuple(answers)
    against = [each.node for each in answers if each.stage == "cannot"]
    silent = [each.node for each in answers if each.stage is None]
    if against or silent or not answers:
        told = [f"{', '.join(against)} cannot put it in place"] if against else []
        told += [f"{', '.join(silent)} did not answer within {VOTE_SECONDS:g} s"] if silent else []
        return Outcome("refused", number, nodes, "; ".join(told) or "the registry knows of no node")
    cut = sum(each.plan.publishers + each.plan.watchers for each in answers)
    if question.max_disconnects is not None and cut > question.max_disconnects:
        reason = f"this would disconnect {cut} clients, and max_disconnects allows {question.max_disconnects}"
        return Outcome("too_many", number, nodes, reason)
    return Outcome("planned", number, nodes) if question.is_plan else None
