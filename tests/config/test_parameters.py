"""Declared parameters: what a class says of them, what is made of them, and what is never shown."""

from attrs import asdict, frozen

from mmids_trio.config.converters import text, whole_number
from mmids_trio.config.parameters import (
    Complaint,
    NoParameters,
    Secret,
    convert,
    declared,
    flag,
    parameter,
    secret_names,
    secret_parameter,
)


@frozen
class Base:
    """Extended below."""

    name: str = parameter(text)
    size_px: int | None = parameter(whole_number(0, 9), name="size", aliases=("width",), default=None)


@frozen(kw_only=True)
class Whole(Base):
    """One parameter of each kind; by keyword alone, so that a required one may follow those that are not."""

    key: str = parameter(text)
    loud: bool = flag()
    passphrase: Secret | None = secret_parameter(default=None)
    _state: int = 7


def test_a_class_declares_its_parameters_in_order_those_it_extends_first() -> None:
    found = declared(Whole)
    assert [each.name for each in found] == ["name", "size", "key", "loud", "passphrase"]
    assert [each.name for each in found if each.required] == ["name", "key"]
    assert [each.name for each in found if each.secret] == ["passphrase"]
    assert [each.aliases for each in found if each.aliases] == [("width",)]
    assert secret_names(found) == {"passphrase"}
    assert declared(NoParameters) == ()


def test_what_is_not_given_has_the_default_of_the_class() -> None:
    values, complaints = convert({"key": "k", "name": "n"}, declared(Whole))
    assert (values, complaints) == ({"key": "k", "name": "n"}, [])
    assert asdict(Whole(**values)) == {
        "name": "n",
        "size_px": None,
        "key": "k",
        "loud": False,
        "passphrase": None,
        "_state": 7,
    }


def test_values_are_converted_and_stand_under_the_names_of_attributes() -> None:
    given = {"width": "5", "loud": None, "passphrase": "hunter2", "key": "k", "name": "n"}
    whole = Whole(**convert(given, declared(Whole))[0])
    assert (whole.size_px, whole.loud) == (5, True)
    assert whole.passphrase == Secret("hunter2")
    assert whole.passphrase.text == "hunter2"


def test_what_is_wrong_is_said_of_all_but_a_secret_is_never_repeated() -> None:
    given = {"size": "11", "loud": "yes", "passphrase": "", "key": None, "nmae": "n"}
    _, complaints = convert(given, declared(Whole))
    assert complaints == [
        Complaint("bad value '11' for 'size': expected a whole number from 0 to 9", "size"),
        Complaint("bad value 'yes' for 'loud': expected no value, as it is a flag, or true or false", "loud"),
        Complaint("bad value for 'passphrase': expected a secret, which is not empty and not ***", "passphrase"),
        Complaint("bad value for 'key': expected a value (key=...)", "key"),
        Complaint("unknown parameter 'nmae'; did you mean 'name'?", "nmae"),
        Complaint("missing required parameter 'name'"),
    ]


def test_a_secret_is_not_printed_whatever_holds_it() -> None:
    whole = Whole(name="n", key="k", passphrase=Secret("hunter2"))
    shown = f"{whole} {whole!r} {Secret('hunter2')} {Secret('hunter2')!r} {[Secret('hunter2')]}"
    assert "hunter2" not in shown
    assert "***" in shown
