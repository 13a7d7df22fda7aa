"""From the body of a request to the set of workflows and reactors that it asks for, without holding up the loop."""

from collections.abc import Generator, Sequence
from typing import TypeVar

import trio
from attrs import evolve

from mmids_trio.config.parser import DefinitionSet, decode, parse_set
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.http_api.control import Sets
from mmids_trio.http_api.refusals import BadRequest
from mmids_trio.http_api.routing import REQUEST_FILE, check_name
from mmids_trio.workflow.plan import WorkflowSet

MAX_WORKFLOWS = 10_000
"""Workflows of one set: ten times what one server is made for, and what can be planned without a long pause."""

WORKFLOWS_PER_TURN = 50
"""Workflows checked at once: a few milliseconds."""

T = TypeVar("T")


async def parse_in_turns(body: bytes) -> DefinitionSet:
    """What a body defines; others have their turns meanwhile. Raises `ConfigurationError` and `BadRequest`."""
    if not body:
        raise BadRequest("the body is empty; a configuration without anything in it is at least a comment (#)")
    definitions = await _in_turns(parse_set(decode(body, REQUEST_FILE), REQUEST_FILE))
    if len(definitions.workflows) > MAX_WORKFLOWS:
        raise BadRequest(f"{len(definitions.workflows)} workflows; one request may bring {MAX_WORKFLOWS}")
    for workflow in definitions.workflows:
        check_name(workflow.name)
    return definitions


async def _in_turns(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await trio.lowlevel.checkpoint()


async def validate_in_turns(
    definitions: DefinitionSet, sets: Sets, reactors: Sequence[ReactorDefinition], *, prune: bool
) -> DefinitionSet:
    """The same in canonical spellings; others have their turns meanwhile.

    Raises `ConfigurationError` with every problem.
    """
    wanted = as_set(definitions, sets, reactors, prune=prune)
    valid: list[WorkflowDefinition] = []
    problems: list[Problem] = []
    for start in range(0, len(wanted.definitions), WORKFLOWS_PER_TURN):
        part = evolve(wanted, definitions=wanted.definitions[start : start + WORKFLOWS_PER_TURN])
        try:
            valid += sets.validate_all(part).definitions
        except ConfigurationError as error:
            problems += error.problems
        await trio.lowlevel.checkpoint()
    if problems:
        raise ConfigurationError(problems)
    return DefinitionSet(tuple(valid), definitions.reactors)


def as_set(
    definitions: DefinitionSet, sets: Sets, reactors: Sequence[ReactorDefinition], *, prune: bool
) -> WorkflowSet:
    """The set that is asked for, given the `reactors` that there are.

    With `prune` it is all that there shall be; without, what is not named stays as it is.
    """
    names = {workflow.name for workflow in definitions.workflows}
    deleted = tuple(sets.prunable(names)) if prune else ()
    if prune:
        return WorkflowSet(definitions.workflows, deleted, definitions.reactors)
    if not definitions.reactors:
        return WorkflowSet(definitions.workflows, deleted)
    named = {reactor.name: reactor for reactor in definitions.reactors}
    kept = [named.pop(reactor.name, reactor) for reactor in reactors]
    return WorkflowSet(definitions.workflows, deleted, (*kept, *named.values()))
