"""Executors: what a reactor asks about a stream, as a contract, and the kinds of them by name.

Pure, and apart from the executors themselves, so that a configuration is checked the same way whether or not
anything is going to run, and so that a new kind of executor needs nothing but this.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from typing import Protocol, Self, TypeVar

from attrs import evolve, frozen

from mmids_trio.config.converters import choice, switch
from mmids_trio.config.parameters import convert, declared, parameter, secret_names
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, MmidsError, Place, Problem
from mmids_trio.offload import Work
from mmids_trio.owners import owner_of, require_different_names
from mmids_trio.stream_request import StreamRequest

P = TypeVar("P")


@frozen
class CommonParameters:
    """Of every kind of executor. `allow_on_failure`: what a first request means that fails after all tries."""

    allow_on_failure: bool = parameter(choice({"deny": False, "allow": True}), name="on_failure", default=False)
    query_per_watcher: bool = parameter(switch, default=False)
    """Whether watchers of one key with different queries are asked about one by one."""


class ExecutorFailure(MmidsError):
    """An executor could not find out; `str()` says why, for logs and API, and holds nothing secret."""


def describe(error: ConfigurationError) -> str:
    """The problems without their source lines, which may hold keys: it goes to logs and API."""
    return "; ".join(
        f"{problem.place.file}:{problem.place.line}:{problem.place.column}: {problem.message}"
        for problem in error.problems
    )


@frozen
class Answer:
    """What an executor says about a stream: whether it is valid, and what has to run while it is used."""

    valid: bool
    workflows: tuple[WorkflowDefinition, ...] = ()


class Executor(Protocol):
    """Looks streams up. Questions about different streams may overlap; of one stream they never do."""

    async def ask(self, request: StreamRequest) -> Answer:
        """One try, bounded in time; raises `ExecutorFailure` (or, for a bad workflow, `ConfigurationError`)."""

    async def release(self, request: StreamRequest) -> None:
        """Tell that a stream which was valid is not used any more. One try; raises `ExecutorFailure`."""


OpenExecutor = Callable[[], AbstractAsyncContextManager[Executor]]
"""Makes a fresh executor, to be used inside its context (which keeps its connections)."""


@frozen
class ExecutorChoice:
    """What a checked definition asks for."""

    open: OpenExecutor
    common: CommonParameters


class ExecutorKind:
    """A kind of executor: its name, the class that declares its parameters, and what opens one from an instance."""

    def __init__(
        self,
        name: str,
        parameters: type[P],
        open: Callable[[P], AbstractAsyncContextManager[Executor]],
        *,
        load: Work | None = None,
    ) -> None:
        self.name = name
        self.load = load
        """Imports, from any thread, what would hold up the loop where it was imported with the first question."""
        self.owner = owner_of(open)
        """Whose it is: `mmids_trio`, a package, or `module NAME`."""
        own, common = declared(parameters), declared(CommonParameters)
        self.parameters = (*own, *common)
        self.secrets = secret_names(own)
        """Names of parameters whose values are shown to nobody."""
        # They stand on lines of their own and may hold passwords: no message shows a value.
        silent = [evolve(parameter, secret=True) for parameter in (*own, *common)]

        def read(definition: ReactorDefinition) -> tuple[Sequence[str], ExecutorChoice | None]:
            values, complaints = convert(definition.parameters, silent, form="expected a value after the name")
            if complaints:
                return [complaint.message for complaint in complaints], None
            shared = {each.attribute: values.pop(each.attribute) for each in common if each.attribute in values}
            checked = parameters(**values)
            return (), ExecutorChoice(lambda: open(checked), CommonParameters(**shared))

        self.read = read
        """What is wrong with the parameters of a reactor, else what they ask for."""

    def of(self, owner: str) -> Self:
        """The same kind, of an owner who is known better."""
        other = copy(self)
        other.owner = owner
        return other


class ExecutorRegistry:
    """All kinds of executors of a server. Raises `NameTaken`."""

    def __init__(self, kinds: Sequence[ExecutorKind]) -> None:
        require_different_names("executor", ((kind.name, kind.owner) for kind in kinds))
        self.kinds = tuple(kinds)
        """In the order in which messages list them."""
        self._kinds = {kind.name: kind for kind in kinds}

    def problems(self, definition: ReactorDefinition) -> list[Problem]:
        """Everything that is wrong with a reactor's executor and its parameters, at the reactor's place."""
        place = definition.place or Place("<definition>", 1, 1, definition.name)
        kind = self._kinds.get(definition.executor)
        if kind is None:
            hint = did_you_mean(definition.executor, self._kinds) or f"; expected one of {', '.join(self._kinds)}"
            return [Problem(place, f"unknown executor {shown(definition.executor)}{hint}")]
        complaints, _ = kind.read(definition)
        return [Problem(place, f"reactor {shown(definition.name)}: {complaint}") for complaint in complaints]

    def works(self, definition: ReactorDefinition) -> Iterable[Work]:
        """What is to be done in a thread before a definition, checked or not, is looked at."""
        kind = self._kinds.get(definition.executor)
        return () if kind is None or kind.load is None else (kind.load,)

    def choose(self, definition: ReactorDefinition) -> ExecutorChoice:
        """The executor that a definition asks for; raises `ConfigurationError` with every problem."""
        problems = self.problems(definition)
        if problems:
            raise ConfigurationError(problems)
        _, asked_for = self._kinds[definition.executor].read(definition)
        assert asked_for is not None
        return asked_for

    @property
    def secrets(self) -> frozenset[str]:
        """Names of all parameters whose values are shown to nobody, of whichever kind of executor."""
        return frozenset(name for kind in self._kinds.values() for name in kind.secrets)
