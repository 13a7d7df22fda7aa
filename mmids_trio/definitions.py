"""What an operator asked for, as plain data: workflows, steps, reactors, settings.

Definitions come out of the configuration parser and the HTTP API and go, unchanged, to the planner;
they never hold anything that runs.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import blake2b

from attrs import field, frozen

from mmids_trio.errors import Place
from mmids_trio.masking import HIDDEN

ParameterValue = str | None
"""A parameter's value as written, or `Resolved`; `None` for a flag."""


@frozen
class Variable:
    """A piece of a value that came from outside of the text: `${name}` stands for `value`, which is secret."""

    name: str
    value: str = field(repr=False)
    is_default: bool = False
    """Whether the text says itself what the value is where nothing outside does."""


class Resolved(str):
    """A value of which some came from outside of the text. It is the true value; `written` may be shown.

    A text, so that it is compared, and makes the identity of a step, like one that was written there.
    """

    __slots__ = ("pieces",)

    pieces: tuple[str | Variable, ...]

    def __new__(cls, pieces: Iterable[str | Variable]) -> "Resolved":
        """The value that these make, one after another."""
        pieces = tuple(pieces)
        made = super().__new__(cls, "".join(piece if isinstance(piece, str) else piece.value for piece in pieces))
        made.pieces = pieces
        return made

    @property
    def written(self) -> str:
        """With `${name}` for what came from outside."""
        return "".join(piece if isinstance(piece, str) else f"${{{piece.name}}}" for piece in self.pieces)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What came from outside."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Variable))


def variables_of(definitions: "Iterable[WorkflowDefinition | ReactorDefinition]") -> Iterator[Variable]:
    """All that came from outside, with repetitions."""
    for definition in definitions:
        nodes = definition.steps if isinstance(definition, WorkflowDefinition) else (definition,)
        for node in nodes:
            for value in node.parameters.values():
                if isinstance(value, Resolved):
                    yield from value.variables


DEFAULT_SET = "default"
"""The set of what comes over the API where nobody names another one."""


@frozen
class StepDefinition:
    """One step of a workflow: its type and its parameters, in the order written.

    `place` and `parameter_places` (where each parameter stands) are for messages only and take no
    part in comparisons.  `secrets`: parameters whose values are for the step alone; `keys`: those that let somebody
    publish, which plans hide.  Both are known once validated.
    """

    step_type: str
    parameters: Mapping[str, ParameterValue] = field(factory=dict)
    place: Place | None = field(default=None, eq=False, repr=False)
    parameter_places: Mapping[str, Place] = field(factory=dict, eq=False, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), eq=False, repr=False)
    keys: frozenset[str] = field(default=frozenset(), eq=False, repr=False)

    def has_flag(self, name: str) -> bool:
        """Whether a flag is set, as it was written: `rtmps`, `rtmps=true`."""
        return self.parameters.get(name, "false") in (None, "true")

    def shown_parameters(self) -> dict[str, ParameterValue]:
        """The parameters as anybody may see them."""
        return {
            name: HIDDEN if name in self.secrets or isinstance(value, Resolved) else value
            for name, value in self.parameters.items()
        }


@frozen
class WorkflowDefinition:
    """A named linear sequence of steps. `routed_by_reactor` marks it as routable for forwarders."""

    name: str
    steps: tuple[StepDefinition, ...] = ()
    routed_by_reactor: bool = False
    place: Place | None = field(default=None, eq=False, repr=False)

    @cached_property
    def step_ids(self) -> tuple[str, ...]:
        """See `step_ids`; one change asks several times."""
        return step_ids(self.steps)

    @cached_property
    def digest(self) -> str:
        """What it says, in hexadecimal digits; neither its name nor the order of its parameters counts.

        Steps must be in canonical spellings, or two spellings of one thing differ.
        """
        steps = [(step.step_type, _in_order(step)) for step in self.steps]
        return digest_of((self.routed_by_reactor, steps))


@frozen
class ReactorDefinition:
    """A named external lookup. `update_interval` is in seconds, 0 for none.

    `set`: the set of the API's that it belongs to; `None`: the configuration file.
    """

    name: str
    executor: str
    update_interval: int = 0
    parameters: Mapping[str, ParameterValue] = field(factory=dict)
    place: Place | None = field(default=None, eq=False, repr=False)
    set: str | None = None


@frozen
class WebhookDefinition:
    """Where events are posted to. `types` empty: all but those of clients. `workflow` of `None`: of all workflows."""

    name: str
    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    types: tuple[str, ...] = ()
    workflow: str | None = None


LINGER_S = 30.0
"""For which an edge keeps a pull after its last watcher, so that a player that reconnects finds the stream."""


@frozen
class ClusterDefinition:
    """Which servers share their streams with this one. `node` of `None`: the host's name.

    `registry` says where they find each other, `advertise` (`rtmp://HOST:PORT`) where they reach this one.
    """

    name: str
    registry: str = field(repr=False)
    advertise: str
    secret: str = field(repr=False)
    node: str | None = None
    linger_s: float = LINGER_S
    allows_on_failure: bool = True
    """Whether new keys are taken while nobody can be asked."""
    place: Place | None = field(default=None, eq=False, repr=False)


def publish_keys(steps: Iterable[StepDefinition]) -> frozenset[str]:
    """The values that let somebody publish to one of the steps, wherever else they stand in the workflow."""
    return frozenset(value for step in steps for name in step.keys if (value := step.parameters[name]) is not None)


def step_ids(steps: tuple[StepDefinition, ...]) -> tuple[str, ...]:
    """The identity of each step: decimal strings, one per step, unique within the sequence.

    Derived from type, parameters (whatever their order) and the occurrence number among equal steps
    alone, so it is the same after a restart and on another machine.  Steps must carry canonical
    spellings (see `mmids_trio.steps.registry`).
    """
    seen: dict[bytes, int] = {}
    ids = []
    for step in steps:
        # `ascii`, as in `digest_of`.
        identity = ascii((step.step_type, _in_order(step))).encode()
        occurrence = seen[identity] = seen.get(identity, 0) + 1
        digest = blake2b(identity + b"#%d" % occurrence, digest_size=8).digest()
        ids.append(str(int.from_bytes(digest, "big")))
    return tuple(ids)


def _in_order(step: StepDefinition) -> list[tuple[str, ParameterValue]]:
    """Its parameters by their names, which differ: no value is ever compared."""
    return sorted(step.parameters.items())


DIGEST_BYTES = 16
"""Enough that two definitions never share one by chance, short enough for a line that people read."""


def digest_of(content: object) -> str:
    """What plain data say, in hexadecimal digits."""
    # `ascii`, not `repr`: what counts as printable differs between versions of Python.
    return blake2b(ascii(content).encode(), digest_size=DIGEST_BYTES).hexdigest()
