"""JSON Schema (2020-12, that of OpenAPI 3.1) of the API's own types, exactly as `schemas.to_json` writes them.

A function of one's own, as general ones do not know which fields are absent where there is nothing to say.
"""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from attrs import define, field, fields, has

from mmids_trio.http_api.schemas import ABSENT_WHEN_EMPTY, Json

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


@define
class Schemas:
    """The schemas of all types that were asked for, by the name of the type."""

    components: dict[str, Json] = field(factory=dict, init=False)

    def of(self, kind: Any) -> dict[str, Json]:
        """The schema of a type; an attrs class becomes a component and a reference to it."""
        if kind in PLAIN:
            return {"type": PLAIN[kind]}
        if kind is object:
            return {}
        if has(kind):
            return self._reference(kind)
        if hasattr(kind, "__supertype__"):  # a NewType
            return self.of(kind.__supertype__)
        return self._of_generic(kind, get_origin(kind), get_args(kind))

    def _of_generic(self, kind: Any, origin: Any, arguments: Sequence[Any]) -> dict[str, Json]:
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin in (Union, UnionType):
            return self._any_of([self.of(argument) for argument in arguments])
        if origin in (list, tuple, Sequence):
            return {"type": "array", "items": self.of(arguments[0])}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        raise TypeError(f"no schema is known for {kind!r}")

    def _any_of(self, schemas: list[dict[str, Json]]) -> dict[str, Json]:
        if all(list(schema) == ["type"] for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}
        return {"anyOf": list[Json](schemas)}

    def _reference(self, kind: type) -> dict[str, Json]:
        if kind.__name__ not in self.components:
            self.components[kind.__name__] = {}  # a type may hold itself
            self.components[kind.__name__] = self._object(kind)
        return {"$ref": f"#/components/schemas/{kind.__name__}"}

    def _object(self, kind: type) -> dict[str, Json]:
        hints = get_type_hints(kind)
        absent = ABSENT_WHEN_EMPTY.get(kind, ())
        names = [attribute.name for attribute in fields(kind)]
        return {
            "type": "object",
            "description": _first_paragraph(kind),
            "properties": {name: self.of(hints[name]) for name in names},
            "required": [name for name in names if name not in absent],
            "additionalProperties": False,
        }


def _first_paragraph(kind: type) -> str:
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
