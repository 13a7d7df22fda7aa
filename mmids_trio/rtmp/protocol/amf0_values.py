"""AMF0 values as Python values: the few that Python has no type for, and the union of all.

They stand apart so that the reader and the writer share them without importing each other.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, TypeAlias

from attrs import frozen


class Undefined(Enum):
    """The type of `UNDEFINED`."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED
"""ActionScript's `undefined` (AMF0 §2.8), which is not `null`."""


@frozen
class Date:
    """A point in time (AMF0 §2.13): milliseconds since 1970 UTC, and a time zone that should be 0."""

    milliseconds: float
    timezone: int = 0


class XmlDocument(str):
    """The text of an XML document (AMF0 §2.17); a string in all but its marker."""

    __slots__ = ()


class EcmaArray(dict[str, "AmfValue"]):
    """An associative array (AMF0 §2.10); a dict in all but its marker."""

    __slots__ = ()


class TypedObject(dict[str, "AmfValue"]):
    """An object with a class name (AMF0 §2.18); equal only to one of the same class and properties."""

    __slots__ = ("class_name",)

    def __init__(
        self, class_name: str, properties: "Mapping[str, AmfValue] | Iterable[tuple[str, AmfValue]]" = ()
    ) -> None:
        super().__init__(properties)
        self.class_name = class_name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypedObject) and self.class_name == other.class_name and dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other  # dict has one of its own, which would not know of classes

    __hash__ = None

    def __repr__(self) -> str:
        return f"TypedObject({self.class_name!r}, {dict.__repr__(self)})"


AmfValue: TypeAlias = "float | bool | str | Undefined | Date | dict[str, AmfValue] | list[AmfValue] | None"
"""What decoding yields. Integers are numbers (float) in AMF0; encoding takes them as well."""
