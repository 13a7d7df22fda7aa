"""One AMF3 value in the middle of AMF0 (AMF3 §3, AMF0 §3.1), as Flash-era clients send behind the switch marker.

Apart from AMF0 because nothing of its encoding is the same; what it may cost is counted by the AMF0 reader that it
reads from.  References to objects and classes with an encoding of their own are refused: no command has any.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, Protocol, TypeVar

from attrs import define, field, frozen

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.amf0_values import UNDEFINED, AmfValue, Date, EcmaArray, TypedObject, XmlDocument

_NUMBER = Struct(">d")
_MORE = 0x80
"""In each but the last byte of such a number: another one follows."""
_INTEGER_BYTES = 4  # at most, 7 bits each but the last with all of its 8 (AMF3 §1.3.1)
_LONGEST_NAME = 0xFFFF  # bytes (AMF0 §1.3.1)
_SIGN, _MODULUS = 1 << 28, 1 << 29

T = TypeVar("T")


class Source(Protocol):
    """Where the bytes come from, and what limits are counted against; all raise `ProtocolError`."""

    depth: int

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""

    def count(self, items: int) -> None:
        """So many values more."""

    def expand(self, size: int) -> None:
        """So many bytes more than are in the data."""

    def reach(self, depth: int) -> None:
        """So many values around this one."""


@frozen
class _Traits:
    class_name: str
    names: tuple[str, ...]
    is_dynamic: bool


@define
class Amf3Reader:
    """Reads one value; its tables of strings and classes end with it."""

    source: Source
    _strings: list[str] = field(factory=list, init=False)
    _traits: list[_Traits] = field(factory=list, init=False)

    def value(self) -> AmfValue:
        """The value that comes next, its marker first."""
        self.source.count(1)
        marker = self.source.take(1)[0]
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        read = _READERS.get(marker)
        if read is None:
            raise ProtocolError(f"AMF3 marker 0x{marker:02x}; expected one of 0x00 to 0x0c")
        return read(self)

    def xml(self) -> XmlDocument:
        return XmlDocument(self._text(self._length("XML")))

    def date(self) -> Date:
        self._length("date")
        return Date(self.number())

    def data(self) -> str:
        return self.source.take(self._length("bytes")).decode("latin-1")

    def nested(self, read: "Callable[[Amf3Reader], AmfValue]") -> AmfValue:
        self.source.depth += 1
        self.source.reach(self.source.depth)
        value = read(self)
        self.source.depth -= 1
        return value

    def array(self) -> AmfValue:
        size = self._length("array")
        named = EcmaArray(self._named())
        values = [self.value() for _ in range(size)]  # as many as there is data for
        if not named:
            return values
        return EcmaArray({**named, **{str(place): value for place, value in enumerate(values)}})

    def object(self) -> AmfValue:
        traits = self._class()
        properties = {name: self.value() for name in traits.names}
        if traits.is_dynamic:
            properties.update(self._named())
        return TypedObject(traits.class_name, properties) if traits.class_name else properties

    def _class(self) -> _Traits:
        header = self._unsigned()
        if not header & 1:
            raise ProtocolError("AMF3 reference to an object, which this server does not follow")
        if not header & 2:
            return self._known(self._traits, header >> 2)
        if header & 4:
            raise ProtocolError("AMF3 object of a class with an encoding of its own")
        name = self._name()
        traits = _Traits(name, tuple(self._counted_name() for _ in range(header >> 4)), bool(header & 8))
        self._traits.append(traits)
        return traits

    def _named(self) -> dict[str, AmfValue]:
        found: dict[str, AmfValue] = {}
        while name := self._name():
            found[name] = self.value()
        return found

    def _counted_name(self) -> str:
        self.source.count(1)
        return self._name()

    def _name(self) -> str:
        """One that AMF0 can say as well, in which everything is passed on."""
        name = self.string()
        if len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
            raise ProtocolError(f"AMF3 name of more than {_LONGEST_NAME} bytes")
        return name

    def string(self) -> str:
        header = self._unsigned()
        if not header & 1:
            text = self._known(self._strings, header >> 1)
            self.source.expand(len(text))
            return text
        text = self._text(header >> 1)
        if text:  # the empty string is never sent by reference (AMF3 §1.3.2)
            self._strings.append(text)
        return text

    def _text(self, size: int) -> str:
        return self.source.take(size).decode("utf-8", "surrogateescape")

    def _length(self, what: str) -> int:
        header = self._unsigned()
        if not header & 1:
            raise ProtocolError(f"AMF3 reference ({what}), which this server does not follow")
        return header >> 1

    def _known(self, table: Sequence[T], index: int) -> T:
        if index >= len(table):
            raise ProtocolError(f"AMF3 reference to number {index} of {len(table)}")
        return table[index]

    def number(self) -> float:
        number: float = _NUMBER.unpack(self.source.take(_NUMBER.size))[0]
        return number

    def signed(self) -> int:
        number = self._unsigned()
        return number - _MODULUS if number >= _SIGN else number

    def _unsigned(self) -> int:
        """A number of 29 bits (AMF3 §1.3.1)."""
        number = 0
        for _ in range(_INTEGER_BYTES - 1):
            byte = self.source.take(1)[0]
            number = number << 7 | byte & 0x7F
            if not byte & _MORE:
                return number
        return number << 8 | self.source.take(1)[0]


_CONSTANTS: Final[dict[int, AmfValue]] = {0x00: UNDEFINED, 0x01: None, 0x02: False, 0x03: True}
_READERS: Final[dict[int, Callable[[Amf3Reader], AmfValue]]] = {
    0x04: lambda reader: float(reader.signed()),
    0x05: Amf3Reader.number,
    0x06: Amf3Reader.string,
    0x07: Amf3Reader.xml,
    0x08: Amf3Reader.date,
    0x09: lambda reader: reader.nested(Amf3Reader.array),
    0x0A: lambda reader: reader.nested(Amf3Reader.object),
    0x0B: Amf3Reader.xml,
    0x0C: Amf3Reader.data,
}
