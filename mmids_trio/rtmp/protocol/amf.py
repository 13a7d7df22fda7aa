"""AMF0, the encoding of RTMP commands and metadata, and the one AMF3 value that may stand in the middle of it.

The readers' subject is distrust: every length, count, depth and reference is checked before anything is built from it,
and what real encoders get wrong is let through.  The writer trusts its input: what it refuses is a mistake of ours, or
a value that was built to be refused.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from struct import Struct
from typing import Final, TypeAlias, TypeVar

from attrs import define, field, frozen

from mmids_trio.errors import ProtocolError
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH, MAX_AMF_EXPANSION, MAX_AMF_ITEMS


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


_NUMBER = Struct(">d")
_MORE = 0x80
"""In each but the last byte of such a number: another one follows."""
_INTEGER_BYTES = 4  # at most, 7 bits each but the last with all of its 8 (AMF3 §1.3.1)
_LONGEST_NAME = 0xFFFF  # bytes (AMF0 §1.3.1)
_SIGN, _MODULUS = 1 << 28, 1 << 29

T = TypeVar("T")


@frozen
class _Traits:
    class_name: str
    names: tuple[str, ...]
    is_dynamic: bool


@define
class Amf3Reader:
    """Reads one value; its tables of strings and classes end with it."""

    source: "_Reader"
    """Where the bytes come from, and what limits are counted against."""
    _strings: list[str] = field(factory=list, init=False)
    _traits: list[_Traits] = field(factory=list, init=False)

    def value(self) -> AmfValue:
        """The value that comes next, its marker first."""
        self.source.count(1)
        marker = self.source.take(1)[0]
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        read = _AMF3_READERS.get(marker)
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
        named, values = EcmaArray(), list[AmfValue]()

        def fill() -> None:
            self._fill_named(named)
            for _ in range(size):  # as many as there is data for
                values.append(self.value())

        self.source.read_into(fill)
        if not named:
            return values
        return EcmaArray({**named, **{str(place): value for place, value in enumerate(values)}})

    def object(self) -> AmfValue:
        traits = self._class()
        properties: dict[str, AmfValue] = {}

        def fill() -> None:
            for name in traits.names:
                properties[name] = self.value()
            if traits.is_dynamic:
                self._fill_named(properties)

        self.source.read_into(fill)
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

    def _fill_named(self, found: dict[str, AmfValue]) -> None:
        while name := self._name():
            found[name] = self.value()

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
_AMF3_READERS: Final[dict[int, Callable[[Amf3Reader], AmfValue]]] = {
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


_DATE = Struct(">dh")

_OBJECT_END = 0x09
_RESERVED: Final = {0x04: "movie clip", 0x0E: "record set"}

_Filled = TypeVar("_Filled", dict[str, AmfValue], EcmaArray, TypedObject, list[AmfValue])


def decode_all(data: bytes | memoryview) -> list[AmfValue]:
    """The AMF0 values in `data`, one after the other; none for empty data.

    Text that is not UTF-8 survives a round trip (`surrogateescape`).  An ECMA array may have a wrong count,
    and may lack its end marker where the data ends.  A reference yields the very object that it refers to.
    Raises `ProtocolError` for everything else that AMF0 does not define and for every limit of `limits`.
    """
    reader = _Reader(bytes(data))
    values = []
    while reader.position < len(reader.data):
        values.append(reader.value())
    return values


@frozen
class Understood:
    """What could be read of a body that need not be clean AMF0, and what was wrong with the rest."""

    values: list[AmfValue]
    flaw: str | None = None
    items: int = 0
    """How many values were decoded, those within others included."""


def decode_leniently(data: bytes | memoryview, most: int = MAX_AMF_ITEMS) -> Understood:
    """As `decode_all`, but what breaks the form ends the reading, and all that was read before it counts.

    Objects and arrays keep what they have by then; a reference to what is not complete is `UNDEFINED`.  Raises
    `ProtocolError` for the limits of `limits` alone, and for more than `most` values.
    """
    reader = _Reader(bytes(data), is_lenient=True, most=most)
    values: list[AmfValue] = []

    def fill() -> None:
        while reader.position < len(reader.data):
            values.append(reader.value())

    reader.read_into(fill)
    return Understood(values, reader.flaw, reader.items)


def short_string_at(data: bytes) -> str | None:
    """The string that `data` begins with, in the form that nearly all have (AMF0 §2.4); `None` where it is none.

    A look ahead, not a check: of one that the data cuts off there is a part.
    """
    if data[:1] != _STRING_MARKER:
        return None
    return data[3 : 3 + int.from_bytes(data[1:3], "big")].decode("utf-8", "surrogateescape")


def decode_beginning(data: bytes | memoryview, count: int) -> Understood:
    """As `decode_leniently`, but the first `count` values alone; fewer where one that holds others comes before."""
    reader = _Reader(bytes(data), is_lenient=True)
    values: list[AmfValue] = []

    def fill() -> None:
        while len(values) < count and reader.data[reader.position : reader.position + 1] not in _NOT_PLAIN:
            values.append(reader.value())

    reader.read_into(fill)
    return Understood(values, reader.flaw, reader.items)


_NOT_PLAIN: Final = (b"", b"\x03", b"\x07", b"\x08", b"\x0a", b"\x10", b"\x11")
"""Markers of values that hold others or stand for them; at the end of the data there is none."""


@frozen
class _Container:
    """A finished object or array that references may name, and what it costs to name it.

    `items` and `height` (nesting, itself included) are counted, and `size` is in bytes, as if the
    references within were written out.
    """

    value: AmfValue
    items: int
    size: int
    height: int


@define
class _Reader:
    """A position in `data`, and what was counted on the way there."""

    data: bytes
    is_lenient: bool = False
    most: int = MAX_AMF_ITEMS
    position: int = 0
    flaw: str | None = None  # the first one, where the reader is lenient
    items: int = 0
    expansion: int = 0  # bytes that the references so far stand for
    depth: int = 0
    deepest: int = 0  # reached within the container being read
    containers: list[_Container | None] = field(factory=list)  # as references count them; None: unfinished

    def value(self) -> AmfValue:
        """The value at the position, its marker first."""
        marker = self.take(1)[0]
        self.count(1)
        read = _READERS.get(marker)
        if read is None:
            raise ProtocolError(_why_not(marker, self.position - 1))
        return read(self)

    def read_into(self, fill: Callable[[], None]) -> None:
        """Call `fill`; where the form breaks in it, and the reader is lenient, leave it at what was filled in."""
        try:
            fill()
        except ProtocolError as error:
            if not self.is_lenient or error.guard is RejectReason.AMF:
                raise
            self._note(str(error))
            self.position = len(self.data)  # nobody knows where the next value begins

    def _note(self, flaw: str) -> None:
        self.flaw = self.flaw or flaw

    def take(self, size: int) -> bytes:
        """The next `size` bytes, all of them or `ProtocolError`."""
        end = self.position + size
        if end > len(self.data):
            raise ProtocolError(
                f"AMF0 value that needs {size} bytes at {self.position}, the data ends at {len(self.data)}"
            )
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self, length_size: int) -> str:
        return self.take(self.unsigned(length_size)).decode("utf-8", "surrogateescape")

    def number(self) -> float:
        value: float = _NUMBER.unpack(self.take(_NUMBER.size))[0]
        return value

    def date(self) -> Date:
        return Date(*_DATE.unpack(self.take(_DATE.size)))

    def object(self) -> dict[str, AmfValue]:
        return self._container({}, _Reader._fill_properties)

    def ecma_array(self) -> EcmaArray:
        self.take(4)  # a count that encoders get wrong; nobody needs it
        return self._container(EcmaArray(), _Reader._fill_ecma_array)

    def typed_object(self) -> TypedObject:
        return self._container(TypedObject(self.text(2)), _Reader._fill_properties)

    def strict_array(self) -> list[AmfValue]:
        return self._container([], _Reader._fill_strict_array)

    def reference(self) -> AmfValue:
        """What an earlier object or array was (AMF0 §2.9), paid for as if it were written out again."""
        index = self.unsigned(2)
        container = self.containers[index] if index < len(self.containers) else None
        if container is None:
            flaw = (
                f"AMF0 reference to object {index}, which is not one of the complete ones among the first "
                f"{len(self.containers)}"
            )
            if not self.is_lenient:
                raise ProtocolError(flaw)
            self._note(flaw)
            return UNDEFINED
        self.count(container.items)
        self.expand(container.size)
        self.reach(self.depth + container.height)
        return container.value

    def count(self, items: int) -> None:
        self.items += items
        if self.items > self.most:
            raise ProtocolError(f"AMF0 body with more than {self.most} values", RejectReason.AMF)

    def expand(self, size: int) -> None:
        self.expansion += size
        if self.expansion > MAX_AMF_EXPANSION:
            raise ProtocolError(f"AMF0 references that stand for more than {MAX_AMF_EXPANSION} bytes", RejectReason.AMF)

    def reach(self, depth: int) -> None:
        if depth > MAX_AMF_DEPTH:
            raise ProtocolError(f"AMF0 value nested deeper than {MAX_AMF_DEPTH}", RejectReason.AMF)
        self.deepest = max(self.deepest, depth)

    def _container(self, value: _Filled, fill: "Callable[[_Reader, _Filled], None]") -> _Filled:
        """`value`, filled by `fill` and from then on known to references."""
        index = len(self.containers)
        self.containers.append(None)
        start, items, outer_deepest = self.position + self.expansion, self.items, self.deepest
        self.depth += 1
        self.deepest = 0
        self.reach(self.depth)
        self.read_into(partial(fill, self, value))
        self.containers[index] = _Container(
            value,
            items=self.items - items,
            size=self.position + self.expansion - start,
            height=self.deepest - self.depth + 1,
        )
        self.depth -= 1
        self.deepest = max(outer_deepest, self.deepest)
        return value

    def _fill_properties(self, value: dict[str, AmfValue]) -> None:
        while (name := self._property_name()) is not None:
            value[name] = self.value()

    def _fill_ecma_array(self, value: EcmaArray) -> None:
        while self.position < len(self.data) and (name := self._property_name()) is not None:
            value[name] = self.value()

    def _property_name(self) -> str | None:
        """The next property's name, or `None` where the object ends."""
        if self.is_lenient and self._is_last(_OBJECT_END):
            self._note(f"AMF0 object end at {self.position} without the empty name before it")
            self.position += 1
            return None
        name = self.text(2)
        if name or self.data[self.position : self.position + 1] != bytes((_OBJECT_END,)):
            return name
        self.position += 1
        return None

    def _is_last(self, byte: int) -> bool:
        return self.position == len(self.data) - 1 and self.data[self.position] == byte

    def _fill_strict_array(self, value: list[AmfValue]) -> None:
        for _ in range(self.unsigned(4)):  # as many as there is data for: `value` raises at its end
            value.append(self.value())


_READERS: Final[dict[int, Callable[[_Reader], AmfValue]]] = {
    0x00: _Reader.number,
    0x01: lambda reader: reader.take(1) != b"\x00",
    0x02: lambda reader: reader.text(2),
    0x03: _Reader.object,
    0x05: lambda reader: None,
    0x06: lambda reader: UNDEFINED,
    0x07: _Reader.reference,
    0x08: _Reader.ecma_array,
    0x0A: _Reader.strict_array,
    0x0B: _Reader.date,
    0x0C: lambda reader: reader.text(4),
    0x0D: lambda reader: UNDEFINED,  # "unsupported": the sender had a value that AMF0 cannot say
    0x0F: lambda reader: XmlDocument(reader.text(4)),
    0x10: _Reader.typed_object,
    0x11: lambda reader: Amf3Reader(reader).value(),
}


def _why_not(marker: int, position: int) -> str:
    if marker == _OBJECT_END:
        return f"AMF0 object end at {position}, where a value is due"
    kind = _RESERVED.get(marker, "unknown")
    return f"AMF0 marker 0x{marker:02x} ({kind}) at {position}; expected one of 0x00 to 0x11"


_MARKED_NUMBER = Struct(">Bd")
_MARKED_DATE = Struct(">Bdh")
_SHORT = Struct(">H")
_LONG = Struct(">BI")

_STRING_MARKER = b"\x02"
_MAX_SHORT_STRING = 0xFFFF
_END_OF_OBJECT = b"\x00\x00\x09"


def encode_all(values: Iterable[object]) -> bytes:
    """The AMF0 encodings of `values`, one after the other.

    Takes what `decode_all` yields, and ints, tuples and any mapping with string keys.  Raises `TypeError`
    for other types and `ProtocolError` for what AMF0 cannot say (nesting beyond the limit, a property
    name above 65,535 bytes, a lone surrogate).
    """
    parts: list[bytes] = []
    for value in values:
        _encode(value, parts, 0)
    return b"".join(parts)


def _encode(value: object, parts: list[bytes], depth: int) -> None:
    match value:
        case bool():
            parts.append(b"\x01\x01" if value else b"\x01\x00")
        case int() | float():
            parts.append(_MARKED_NUMBER.pack(0, value))
        case XmlDocument():
            text = _utf8(value)
            parts += _LONG.pack(15, len(text)), text
        case str():
            _encode_string(value, parts)
        case None:
            parts.append(b"\x05")
        case Undefined():
            parts.append(b"\x06")
        case Date():
            parts.append(_MARKED_DATE.pack(11, value.milliseconds, value.timezone))
        case Mapping() | list() | tuple():
            _encode_container(value, parts, depth + 1)
        case _:
            raise TypeError(f"AMF0 has no encoding for {type(value).__name__}")


def _encode_string(value: str, parts: list[bytes]) -> None:
    text = _utf8(value)
    if len(text) > _MAX_SHORT_STRING:
        parts += _LONG.pack(12, len(text)), text
    else:
        parts += _STRING_MARKER, _SHORT.pack(len(text)), text


def _encode_container(
    value: Mapping[str, object] | list[object] | tuple[object, ...], parts: list[bytes], depth: int
) -> None:
    if depth > MAX_AMF_DEPTH:
        raise ProtocolError(f"AMF0 value nested deeper than {MAX_AMF_DEPTH}")
    if isinstance(value, list | tuple):
        parts.append(_LONG.pack(10, len(value)))
        for item in value:
            _encode(item, parts, depth)
        return
    if isinstance(value, TypedObject):
        parts += b"\x10", _short_string(value.class_name)
    elif isinstance(value, EcmaArray):
        parts.append(_LONG.pack(8, len(value)))
    else:
        parts.append(b"\x03")
    for name, item in value.items():
        parts.append(_short_string(name))
        _encode(item, parts, depth)
    parts.append(_END_OF_OBJECT)


def _short_string(text: str) -> bytes:
    encoded = _utf8(text)
    if len(encoded) > _MAX_SHORT_STRING:
        raise ProtocolError(f"AMF0 property name of {len(encoded)} bytes, more than {_MAX_SHORT_STRING}")
    return _SHORT.pack(len(encoded)) + encoded


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ProtocolError(f"text that has no UTF-8 form: {error.reason}") from error
