"""What runs as canonical text, and the entity tags that are made of it.

The same definition has the same tag, after a restart and on another machine: a tag is made from the canonical text
alone, with parameters in the order of their names, as they have none of their own, and never from counters, states or
owners.  Tags are kept, so that asking for a thousand again costs next to nothing.

The text of everything leaves settings out: some are secret, and none can be changed that way.  So it does with the
workflows of reactors, which come and go with their streams.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from attrs import define, evolve, field, frozen

from mmids_trio.config.parser import DefinitionSet
from mmids_trio.config.writer import Show, as_written, with_secrets, write_reactor, write_step, write_workflow_of
from mmids_trio.definitions import ReactorDefinition, Resolved, WorkflowDefinition
from mmids_trio.http_api.control import SetChange, Sets, ShownReactors, Workflows
from mmids_trio.http_api.etags import strong_tag
from mmids_trio.http_api.tokens import Caller
from mmids_trio.workflow.status import WorkflowOwner

TAG_BYTES = 16
"""128 bits: two definitions never share a tag by chance."""


def text_tag(text: str) -> str:
    """The strong tag of a text."""
    return strong_tag(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=TAG_BYTES).hexdigest())


def canonical_text(definition: WorkflowDefinition, show: Show = as_written) -> str:
    """The workflow node with parameters in the order of their names; a stand-in where the language has no words."""
    try:
        return write_workflow_of(definition, [write_step(step, show, by_name=True) for step in definition.steps])
    except ValueError:  # made by a program, not read from a text
        steps = tuple(evolve(step, parameters=dict(sorted(step.parameters.items()))) for step in definition.steps)
        return ascii(evolve(definition, steps=steps))


@frozen
class _Kept:
    """What was made of a definition. `true_text` has the values of its variables, and makes the tag."""

    definition: WorkflowDefinition
    text: str
    true_text: str
    tag: str

    @classmethod
    def of(cls, definition: WorkflowDefinition) -> "_Kept":
        text = canonical_text(definition)
        true_text = canonical_text(definition, with_secrets) if _has_variables(definition) else text
        return cls(definition, text, true_text, text_tag(true_text))

    def now(self, definition: WorkflowDefinition) -> "_Kept":
        """That of `definition`. Most reloads bring the same again; equal values may still be written otherwise."""
        if definition != self.definition or _has_variables(self.definition) or _has_variables(definition):
            return _Kept.of(definition)
        return evolve(self, definition=definition)


def _has_variables(definition: WorkflowDefinition) -> bool:
    return any(isinstance(value, Resolved) for step in definition.steps for value in step.parameters.values())


@define
class DefinitionTags:
    """The tags of what is wanted of each workflow: what carries media, or the newest change on its way there."""

    _workflows: Workflows
    _kept: dict[str, _Kept] = field(factory=dict, init=False)

    def tag(self, name: str) -> str | None:
        """The tag of one workflow, `None` where there is none."""
        kept = self._keep(name)
        return None if kept is None else kept.tag

    def text(self, name: str) -> str | None:
        """The canonical text of one workflow, `None` where there is none."""
        kept = self._keep(name)
        return None if kept is None else kept.text

    def true_text(self, name: str) -> str | None:
        """The same with the values of its variables, which nobody is shown."""
        kept = self._keep(name)
        return None if kept is None else kept.true_text

    def _keep(self, name: str) -> _Kept | None:
        definition = self._workflows.definition(name)
        if definition is None:
            self._kept.pop(name, None)
            return None
        kept = self._kept.get(name)
        if kept is None or kept.definition is not definition:
            kept = self._kept[name] = _Kept.of(definition) if kept is None else kept.now(definition)
        return kept

    def list_tag(self, names: Sequence[str]) -> str:
        """The tag of these workflows, in this order."""
        for gone in self._kept.keys() - set(names):
            del self._kept[gone]
        return text_tag("\n".join(f"{name} {self.tag(name)}" for name in names))


HEADER = "# What runs, without settings and without the workflows of reactors.\n"
ONLY_SOME = "# Only the workflows that the token may change.\n"


@define
class RunningConfig:
    """Everything that `PUT /config` can change."""

    _sets: Sets
    _tags: DefinitionTags
    _reactors: ShownReactors | None
    _pending: tuple[SetChange, tuple[ReactorDefinition, ...]] | None = field(default=None, init=False)
    """The newest change of the reactors that came this way."""

    def accepted(self, change: SetChange, reactors: tuple[ReactorDefinition, ...] | None) -> None:
        """A change was accepted that brings these reactors (`None`: it leaves them alone)."""
        if reactors is not None:
            self._pending = change, reactors

    def reactors(self) -> tuple[ReactorDefinition, ...]:
        """The reactors that are wanted: those of a change that is on its way, else those that there are."""
        if self._pending is not None:
            change, reactors = self._pending
            if change.outcome is None:
                return reactors
            self._pending = None
        return () if self._reactors is None else tuple(self._reactors.definitions)

    def text(self, caller: Caller, of_set: str | None = None) -> str:
        """The nodes, reactors first, workflows in the order in which they were started; those of one set, or all.

        Only what the caller may change: the secrets of the rest are others'. Variables as `${NAME}`.
        """
        return self._joined(self._tags.text, as_written, caller, of_set)

    def tag(self, caller: Caller, of_set: str | None = None) -> str:
        """The strong tag of `text`, but with the values of variables: it changes with them."""
        return text_tag(self._joined(self._tags.true_text, with_secrets, caller, of_set))

    def without_equal_of_others(self, definitions: DefinitionSet, owner: WorkflowOwner) -> DefinitionSet:
        """What is wanted (canonical spellings), without what others than `owner` have just so."""
        reactors = {reactor.name: reactor for reactor in self.reactors()}
        return DefinitionSet(
            tuple(each for each in definitions.workflows if not self._have_others(each, owner)),
            tuple(
                each
                for each in definitions.reactors
                if each.name not in reactors
                or reactors[each.name].set == owner.set
                or evolve(each, set=reactors[each.name].set) != reactors[each.name]
            ),
        )

    def _have_others(self, wanted: WorkflowDefinition, owner: WorkflowOwner) -> bool:
        whose = self._sets.owner(wanted.name)
        if whose is None or whose.is_same(owner):
            return False
        return self._tags.tag(wanted.name) == text_tag(canonical_text(wanted, with_secrets))

    def _joined(self, text: Callable[[str], str | None], show: Show, caller: Caller, of_set: str | None) -> str:
        header = HEADER if of_set is None else f"# What runs of the set {of_set}.\n"
        is_whole = caller.may_change_everything
        if not is_whole:
            header += ONLY_SOME
        reactors = [reactor for reactor in self.reactors() if is_whole and of_set in (None, reactor.set)]
        names = [name for name in self._sets.names() if caller.may_change(name) and self._is_part(name, of_set)]
        workflows = [found for name in names if (found := text(name)) is not None]
        return "\n".join([header, *(_canonical_reactor(reactor, show) for reactor in reactors), *workflows])

    def _is_part(self, name: str, of_set: str | None) -> bool:
        owner = self._sets.owner(name)
        return owner is None or (owner.kind != "reactor" if of_set is None else owner.set == of_set)


def _canonical_reactor(definition: ReactorDefinition, show: Show) -> str:
    return write_reactor(evolve(definition, parameters=dict(sorted(definition.parameters.items()))), show)
