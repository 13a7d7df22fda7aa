"""AMF0 bytes to Python values (AMF0 §2), whatever the bytes.

It stands apart from the writer because its subject is distrust: every length, count, depth and
reference is checked before anything is built from it, and what real encoders get wrong is let through.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, TypeVar

from attrs import define, field, frozen

from mmids_trio.errors import ProtocolError
from mmids_trio.guards import Guard
from mmids_trio.rtmp.protocol.amf0_values import (
    UNDEFINED,
    AmfValue,
    Date,
    EcmaArray,
    TypedObject,
    XmlDocument,
)
from mmids_trio.rtmp.protocol.amf3_reader import Amf3Reader
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH, MAX_AMF_EXPANSION, MAX_AMF_ITEMS

_NUMBER = Struct(">d")
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
    position: int = 0
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
            raise ProtocolError(
                f"AMF0 reference to object {index}, which is not one of the complete ones among the first "
                f"{len(self.containers)}"
            )
        self.count(container.items)
        self.expand(container.size)
        self.reach(self.depth + container.height)
        return container.value

    def count(self, items: int) -> None:
        self.items += items
        if self.items > MAX_AMF_ITEMS:
            raise ProtocolError(f"AMF0 body with more than {MAX_AMF_ITEMS} values", Guard.AMF)

    def expand(self, size: int) -> None:
        self.expansion += size
        if self.expansion > MAX_AMF_EXPANSION:
            raise ProtocolError(f"AMF0 references that stand for more than {MAX_AMF_EXPANSION} bytes", Guard.AMF)

    def reach(self, depth: int) -> None:
        if depth > MAX_AMF_DEPTH:
            raise ProtocolError(f"AMF0 value nested deeper than {MAX_AMF_DEPTH}", Guard.AMF)
        self.deepest = max(self.deepest, depth)

    def _container(self, value: _Filled, fill: "Callable[[_Reader, _Filled], None]") -> _Filled:
        """`value`, filled by `fill` and from then on known to references."""
        index = len(self.containers)
        self.containers.append(None)
        start, items, outer_deepest = self.position + self.expansion, self.items, self.deepest
        self.depth += 1
        self.deepest = 0
        self.reach(self.depth)
        fill(self, value)
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
        name = self.text(2)
        if name or self.data[self.position : self.position + 1] != bytes((_OBJECT_END,)):
            return name
        self.position += 1
        return None

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
