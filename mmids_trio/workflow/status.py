"""What the outside may know of a workflow and of a change to it, as plain data."""

from collections.abc import Mapping
from enum import Enum
from typing import Literal

from attrs import evolve, field, frozen

from mmids_trio.definitions import DEFAULT_SET, ParameterValue
from mmids_trio.masking import mask_values

StepAction = Literal["keep", "change", "start", "stop"]


@frozen
class WorkflowOwner:
    """Whose a workflow is: the configuration file's (`name`), a `set`'s of the API, a reactor's (`name`, `stream`)."""

    kind: Literal["config", "api", "reactor"]
    name: str | None = None
    stream: str | None = None
    set: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case "config":
                return f"configuration file {self.name}" if self.name else "configuration file"
            case "reactor":
                return f"reactor '{self.name}' (for stream '{self.stream}')"
            case _:
                return f"set '{self.set}' of the HTTP API"

    def is_same(self, other: "WorkflowOwner") -> bool:
        """Whether both are one. There is one configuration file, whatever it is called."""
        return self == other or self.kind == other.kind == "config"

    @property
    def other_set(self) -> str | None:
        """The name of a set other than the default one, which goes without saying."""
        return None if self.set == DEFAULT_SET else self.set


def of_set(name: str | None) -> WorkflowOwner:
    """Who has what comes over the API for the set of this name; `None`: for the default one."""
    return WorkflowOwner("api", set=name or DEFAULT_SET)


BY_API = of_set(DEFAULT_SET)


@frozen
class StreamStatus:
    """One stream of a step about which there is something to say."""

    name: str
    message: str
    state: str | None = None
    """One word for programs (`interrupted`), where there is one."""
    seconds_left: float | None = None
    """Until the stream ends unless something happens."""
    target: str | None = None
    """Where it is pushed, without what grants access."""
    bitrate: int | None = None
    """Bits a second that went there lately."""
    last_error: str | None = None
    """Why that failed last."""
    dropped_groups: int | None = None
    path: str | None = None
    """Of the playlist that is written of it."""
    last_segment: str | None = None
    """The file that came into the playlist last."""
    """How often the target was too slow and missed what came before a later key frame."""


@frozen
class Switched:
    """What a step with several sources sends: now, and from that one's next key frame on (`None`: no other)."""

    sending: str | None
    wanted: str | None


@frozen
class Clients:
    """How many clients use a step now, and would be disconnected with it."""

    publishers: int = 0
    watchers: int = 0


NO_CLIENTS = Clients()


@frozen
class StepStatus:
    """One step; `status` is `Created`, `Active`, `Error: <why>` or `Shut Down`."""

    step_id: str
    step_type: str
    parameters: Mapping[str, ParameterValue]
    status: str
    streams: tuple[StreamStatus, ...] = ()
    clients: Clients = NO_CLIENTS
    state: Literal["error"] | None = None
    """That it is in error, for programs."""
    reason: str | None = None
    """Why it is in error."""
    on_air: tuple[str, ...] = ()
    """Ids of the streams behind it, as the list of streams has them."""


@frozen
class WorkflowStatus:
    """`status` is `Running` or `Step id <id> failed: <why>`.

    While an update waits for new steps, `active_steps` is what carries media now and `pending_steps` the
    whole wanted sequence; else `pending_steps` is empty.
    """

    status: str
    active_steps: tuple[StepStatus, ...]
    pending_steps: tuple[StepStatus, ...]
    owner: WorkflowOwner | None = None
    state: Literal["error"] | None = None
    """That it is in error, for programs."""
    reason: str | None = None
    """Why it is in error: of `status`, what is not about the step's id."""

    def without_access(self) -> "WorkflowStatus":
        """The same, with nothing in the URLs of its parameters that lets anybody in, such as the key of a push."""
        return evolve(
            self,
            active_steps=tuple(map(_without_access, self.active_steps)),
            pending_steps=tuple(map(_without_access, self.pending_steps)),
        )


def _without_access(step: StepStatus) -> StepStatus:
    return evolve(step, parameters=mask_values(step.parameters))


@frozen
class ParameterChange:
    """Before and after, without what is secret: null where it is not given, true for a flag that is."""

    name: str
    before: str | bool | None
    after: str | bool | None


@frozen
class PlannedStep:
    """What a change does to one step. `parameters`: without what is secret in them, or in URLs.

    A step that starts in place of another one that stops has that one's id in `step_id_before`, and `changes` says in
    what the two differ.  A step that changes in place, and runs on, has its own former id there.
    """

    step_id: str
    step_type: str
    action: StepAction
    parameters: Mapping[str, ParameterValue] = field(factory=dict)
    step_id_before: str | None = None
    changes: tuple[ParameterChange, ...] = ()


@frozen
class PlanView:
    """What a change does: the wanted steps in their order, and those that stop, each before what takes its place.

    `owner`: whose the workflow is afterwards; `taken_from`: whose it was, where that is somebody else.
    """

    workflow: str
    created: bool
    changed: bool
    steps: tuple[PlannedStep, ...]
    owner: WorkflowOwner | None = None
    taken_from: WorkflowOwner | None = None


class OutcomeKind(Enum):
    """How a change ended."""

    APPLIED = "applied"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    SUPERSEDED = "superseded"
    STOPPED = "stopped"


@frozen
class Outcome:
    """How a change ended, with a sentence for its caller."""

    kind: OutcomeKind
    message: str
