"""Mutants differ from their module in one expression, and are Python."""

import ast

import pytest

from tests.mutation.mutants import mutants

MODULE = '''
"""Words."""
LIMIT: int = 3
count: int = field(default=2, init=False)

def f(a: int | None, b: int = 0) -> bool:
    log.info("a", n=1)
    assert a != 5
    if a is None or not b:
        return False
    a += 1
    return a < LIMIT
'''


def test_each_fault_is_one_expression_in_its_line() -> None:
    assert [str(mutant) for mutant in mutants(MODULE)] == [
        "line 3: 3  ->  4",
        "line 4: 2  ->  3",
        "line 6: 0  ->  1",
        "line 9: a is None or not b  ->  ((a is None) and (not b))",
        "line 9: a is None  ->  a is not None",
        "line 9: not b  ->  (b)",
        "line 10: return False  ->  return None",
        "line 10: False  ->  True",
        "line 11: a += 1  ->  pass",
        "line 11: 1  ->  2",
        "line 12: return a < LIMIT  ->  return None",
        "line 12: a < LIMIT  ->  a <= LIMIT",
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("module", ["continuity/failover.py", "fanout/stream_log.py", "workflow/plan.py"])
def test_every_mutant_of_a_module_is_python_and_another_text(module: str, pytestconfig: pytest.Config) -> None:
    text = (pytestconfig.rootpath / "mmids_trio" / module).read_text("utf-8")
    found = list(mutants(text))
    assert len(found) > 20
    for mutant in found:
        ast.parse(mutant.text)
        assert mutant.text != text
