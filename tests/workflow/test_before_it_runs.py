"""A manager that does not run yet accepts nothing, and keeps nothing of what it was asked."""

import pytest

from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import WorkflowSet
from tests.support.toy_steps import Bench, definition


def test_a_manager_that_does_not_run_accepts_nothing() -> None:
    manager = WorkflowManager(Bench())
    with pytest.raises(RuntimeError, match="runs, not before"):
        manager.apply(definition("w", "recorder:a"))
    with pytest.raises(RuntimeError, match="runs, not before"):
        manager.apply_all(WorkflowSet((definition("w", "recorder:a"),)))
    assert manager.names() == []
    assert manager.is_quiet
