"""Large texts are read in pieces of bounded work, whatever they are made of."""

from collections.abc import Generator
from typing import TypeVar

import pytest

from mmids_trio.config import nodes, scanner
from mmids_trio.config.parser import NODES_PER_TURN, parse_set, parse_workflows_in_turns
from mmids_trio.config.scanner import LINES_PER_TURN, Line
from mmids_trio.definitions import WorkflowDefinition

T = TypeVar("T")
MANY = 5_000


class Work:
    """How many lines were scanned and nodes made into definitions between two turns of others, at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = 0
        scan, define = scanner._scan_line, nodes.WorkflowNode.definition

        def count_scan(number: int, source: str, hash_in_words: bool) -> Line:
            self.done += 1
            return scan(number, source, hash_in_words)

        def count_definition(node: nodes.WorkflowNode) -> WorkflowDefinition:
            self.done += 1
            return define(node)

        monkeypatch.setattr(scanner, "_scan_line", count_scan)
        monkeypatch.setattr(nodes.WorkflowNode, "definition", count_definition)

    def most_at_once(self, generator: Generator[None, None, T]) -> tuple[int, T]:
        most = 0
        while True:
            self.done = 0
            try:
                next(generator)
            except StopIteration as end:
                return max(most, self.done), end.value
            most = max(most, self.done)


TEXTS = {
    "tiny workflows": ("".join(f"workflow w{n} {{\n}}\n" for n in range(MANY)), MANY),
    "comments": ("#\n" * MANY, 0),
    "nothing where a turn would end": (("#\n" * (LINES_PER_TURN - 2) + "workflow W {\n}\n\n#\n") * 3, 3),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_is_read_in_turns_whatever_its_lines_hold(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, count = TEXTS[kind]
    for number in range(3):
        text = text.replace("workflow W", f"workflow w{number}", 1)
    work = Work(monkeypatch)
    for parse in (parse_workflows_in_turns, parse_set):
        most, result = work.most_at_once(parse(text, "x"))
        assert most <= LINES_PER_TURN + NODES_PER_TURN
        workflows = result if isinstance(result, tuple) else getattr(result, "workflows")  # noqa: B009
        assert len(workflows) == count


def test_a_text_is_not_read_much_beyond_the_most_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = TEXTS["tiny workflows"]
    _, result = Work(monkeypatch).most_at_once(parse_set(text, "x", most=200))
    assert 200 < len(result.workflows) <= 200 + LINES_PER_TURN


def test_empty_lines_have_turns_too() -> None:
    assert sum(1 for _ in parse_set("\n" * 10_000, "x")) >= 10_000 // LINES_PER_TURN
