"""The OpenAPI 3.1 document, made of the operations that the routes were added with and of the API's own types.

Types become JSON Schema (2020-12, that of OpenAPI 3.1) exactly as `schemas.to_json` writes them, by a class of our own,
as general ones do not know which fields are absent where there is nothing to say.
"""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from attrs import define, field, fields, has

from mmids_trio.http_api.entrance import REQUEST_ID_HEADER
from mmids_trio.http_api.operation import AnswerSpec, Operation, QueryParameter, error
from mmids_trio.http_api.schemas import ABSENT_WHEN_EMPTY, Json, to_json
from mmids_trio.plugins.kinds import KindView

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
        if kind is bytes:
            return {"type": "string", "format": "binary"}
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


OPENAPI_VERSION = "3.1.0"

HEADERS: Mapping[str, Mapping[str, Json]] = {
    "ETag": {
        "description": "The entity tag of the definition; strong, and the same after a restart.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string", "enum": ["Bearer"]}},
    REQUEST_ID_HEADER: {
        "description": "Identifies the request in the log; the caller's, if it sent a sane one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
}

EVERYWHERE: Mapping[int, AnswerSpec] = {
    403: error(
        "The request came from another web site, or (without a token) under a name that is not loopback; or the token"
        " is not good for it."
    ),
    500: error("A fault of the server; its log has the details under the request id."),
}
TOKENS = "The setting `http_api_token`, or a token of `http_api_tokens_path` with what `x-scope` says."
WITH_TOKEN: Mapping[int, AnswerSpec] = {401: error("The bearer token is missing or wrong.", "WWW-Authenticate")}


KINDS = "x-kinds"
"""Under this name the document has what a workflow and a reactor may consist of, which no standard field tells."""


def create_document(
    operations: Sequence[Operation], version: str, *, needs_token: bool, kinds: Sequence[KindView] = ()
) -> Json:
    """The document of these operations; HEAD goes along with every GET."""
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for operation in operations:
        if operation.is_of_page:
            continue
        methods = paths.setdefault(operation.path, {})
        assert isinstance(methods, dict)
        methods[operation.method.lower()] = _operation(operation, schemas, needs_token)
        if operation.method == "GET":
            methods["head"] = _operation(operation, schemas, needs_token, is_head=True)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "mmids_trio", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": {name: dict(header) for name, header in HEADERS.items()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": TOKENS,
                }
            },
        },
        "security": [{"token": []}] if needs_token else [],
        KINDS: to_json(tuple(kinds)),
    }


def _operation(operation: Operation, schemas: Schemas, needs_token: bool, *, is_head: bool = False) -> Json:
    has_lock = needs_token and not operation.public
    answers = {**operation.answers, **EVERYWHERE, **(WITH_TOKEN if has_lock else {})}
    described: dict[str, Json] = {
        "operationId": operation.operation_id + ("Head" if is_head else ""),
        "summary": operation.summary,
        "x-scope": operation.takes,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": {
            str(status): _answer(answer, schemas, has_content=not is_head) for status, answer in sorted(answers.items())
        },
    }
    if operation.body is not None:
        media: dict[str, Json] = {"schema": dict(operation.body.schema), "example": operation.body.example}
        described["requestBody"] = {
            "description": operation.body.meaning,
            "required": operation.body.required,
            "content": {media_type: media for media_type in operation.body.media_types},
        }
    if needs_token and operation.public:
        described["security"] = []
    return described


def _parameter(parameter: QueryParameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.meaning,
        "schema": dict(parameter.schema),
    }


def _answer(answer: AnswerSpec, schemas: Schemas, *, has_content: bool) -> Json:
    described: dict[str, Json] = {
        "description": answer.meaning,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID_HEADER, *answer.headers)},
    }
    if has_content and answer.content:
        described["content"] = {media_type: {"schema": schemas.of(kind)} for media_type, kind in answer.content.items()}
    return described
