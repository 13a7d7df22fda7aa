"""What came from outside is hidden in whatever text it stands, at a bounded cost."""

import pytest

from mmids_trio import outside_values
from mmids_trio.definitions import ReactorDefinition, Resolved, StepDefinition, Variable, WorkflowDefinition
from mmids_trio.outside_values import MOST_VALUES, OutsideValues
from mmids_trio.server.log_lines import HideOutside


def outside(*values: str) -> OutsideValues:
    known = OutsideValues()
    known.add(values)
    return known


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        (("secret",), "a secret, and secrets", "a ***, and ***s"),
        (("secret", "secret-and-longer"), "rtmp://h/secret-and-longer/secret", "rtmp://h/***/***"),
        (("secret",), "secret", "***"),
        (("short",), "short", "***"),
        (("short",), "a short one", "a short one"),
        (("12345",), "12345", "12345"),
        (("123456",), "port 123456", "port ***"),
        (("",), "", ""),
        (("geheimnis-ü",), "das geheimnis-ü", "das ***"),
        ((), "secret", "secret"),
    ],
)
def test_values_are_hidden_by_what_they_are(values: tuple[str, ...], text: str, shown: str) -> None:
    assert outside(*values).hide(text) == shown


def test_only_what_came_from_outside_is_learnt() -> None:
    value = Resolved(["key-", Variable("KEY", "theSecret"), "/", Variable("PORT", "1935")])
    known = OutsideValues()
    known.learn([WorkflowDefinition("w", (StepDefinition("s", {"k": value, "l": "literal", "m": None}),))])
    known.learn([ReactorDefinition("r", "e", 0, {"url": Resolved([Variable("URL", "http://other")])})])
    assert known.hide("key-theSecret/1935 literal http://other") == "key-***/1935 literal ***"


def test_the_newest_are_kept_up_to_a_number_and_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    known = outside(*(f"value-{number}-" for number in range(MOST_VALUES)))
    known.add(["value-0-", "another-one"])
    assert known.hide("value-0- value-1- value-2-") == "*** value-1- ***"
    monkeypatch.setattr(outside_values, "MOST_CHARACTERS", 30)
    known.add(["the-last-one"])
    assert known.hide("value-9999- another-one the-last-one") == "value-9999- *** ***"


def test_a_log_line_shows_none_wherever_it_stands_but_names_of_workflows() -> None:
    hide = HideOutside(outside("theSecret", "live"))
    line = {
        "event": "no theSecret here",
        "workflow": "theSecret",
        "app": "live",
        "port": 1935,
        "reason": ValueError("theSecret"),
        "inner": {"one": ["theSecret", 1]},
    }
    assert hide(None, "info", line) == {
        "event": "no *** here",
        "workflow": "theSecret",
        "app": "***",
        "port": 1935,
        "reason": "***",
        "inner": {"one": ["***", 1]},
    }
