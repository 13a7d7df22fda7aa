"""The list of kinds says of each parameter what may be written, and whose the kind is."""

from pathlib import Path

from attrs import frozen

from mmids_trio.config.settings import Settings
from mmids_trio.plugins.kinds import KindView, ParameterView, kinds_of
from mmids_trio.plugins.loading import Plugins
from mmids_trio.server.building import build_server
from mmids_trio.steps import ExecutorKind, NoParameters, StepType, parameter
from mmids_trio.testing import Recorder
from tests.support.plugins import LISTED, STUDIO


def kinds(plugins: Plugins | None = None) -> dict[str, KindView]:
    plugins = plugins or Plugins()
    server = build_server(Settings(), more_steps=plugins.steps, more_executors=plugins.executors)
    return {kind.name: kind for kind in kinds_of(server.steps, server.executors)}


def built_in() -> list[StepType | ExecutorKind]:
    server = build_server(Settings())
    return [*server.steps.types, *server.executors.kinds]


def test_all_that_is_built_in_is_listed_with_every_parameter() -> None:
    listed = kinds()
    assert list(listed) == [each.name for each in built_in()]
    assert {kind.owner for kind in listed.values()} == {"mmids_trio"}
    for kind in built_in():
        assert [each.name for each in listed[kind.name].parameters] == [each.name for each in kind.parameters]


def test_each_default_is_one_that_may_be_written() -> None:
    listed = kinds()
    for kind in built_in():
        for declared, view in zip(kind.parameters, listed[kind.name].parameters, strict=True):
            if view.default is not None:
                assert declared.read(view.default) == declared.default, (kind.name, view)
            else:
                assert declared.required or declared.convert is None or not declared.default or view.name == "max"


def test_a_kind_of_ones_own_is_listed_like_the_others(folder: Path) -> None:
    (folder / "studio.py").write_text(STUDIO + LISTED)
    listed = kinds(Plugins().with_modules(["studio"], folder))
    assert listed["passing"] == KindView(
        "step",
        "passing",
        "module studio",
        (
            ParameterView("after", False, "5s", "a time from 100ms to 1h, with its unit, as in 200ms, 2s, 5m or 1h"),
            ParameterView("side", False, "left", "one of left, right", in_place=True),
            ParameterView("key", False, None, "a secret, which is not empty and not ***", secret=True),
        ),
    )
    assert (listed["nods"].kind, listed["nods"].owner) == ("executor", "module studio")


def test_a_converter_that_raises_anything_is_listed_all_the_same() -> None:
    @frozen
    class Odd:
        first: str = parameter(lambda value: value[0])
        number: int = parameter(int, default=7)

    odd = StepType("odd", Odd, lambda _parameters, _context: Recorder())
    first, number = kinds(Plugins((odd,)))["odd"].parameters
    assert (first.expects, first.required) == ("a value", True)
    assert (number.expects, number.default) == ("a value", "7")


def test_a_kind_without_parameters_has_none() -> None:
    bare = StepType("bare", NoParameters, lambda _parameters, _context: Recorder())
    assert kinds(Plugins((bare,)))["bare"].parameters == ()
