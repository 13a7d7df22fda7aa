"""The OpenAPI 3.1 document, made of the operations that the routes were added with and of the API's own types."""

from collections.abc import Mapping, Sequence

from mmids_trio.http_api.entrance import REQUEST_ID_HEADER
from mmids_trio.http_api.json_schema import Schemas
from mmids_trio.http_api.operation import Answer, Operation, Parameter, error
from mmids_trio.http_api.schemas import Json

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

EVERYWHERE: Mapping[int, Answer] = {
    403: error("The request came from another web site, or (without a token) under a name that is not loopback."),
    500: error("A fault of the server; its log has the details under the request id."),
}
WITH_TOKEN: Mapping[int, Answer] = {401: error("The bearer token is missing or wrong.", "WWW-Authenticate")}


def create_document(operations: Sequence[Operation], version: str, *, needs_token: bool) -> Json:
    """The document of these operations; HEAD goes along with every GET."""
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for operation in operations:
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
                "token": {"type": "http", "scheme": "bearer", "description": "The setting `http_api_token`, if set."}
            },
        },
        "security": [{"token": []}] if needs_token else [],
    }


def _operation(operation: Operation, schemas: Schemas, needs_token: bool, *, is_head: bool = False) -> Json:
    has_lock = needs_token and not operation.public
    answers = {**operation.answers, **EVERYWHERE, **(WITH_TOKEN if has_lock else {})}
    described: dict[str, Json] = {
        "operationId": operation.operation_id + ("Head" if is_head else ""),
        "summary": operation.summary,
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


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.meaning,
        "schema": dict(parameter.schema),
    }


def _answer(answer: Answer, schemas: Schemas, *, has_content: bool) -> Json:
    described: dict[str, Json] = {
        "description": answer.meaning,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID_HEADER, *answer.headers)},
    }
    if has_content and answer.content:
        described["content"] = {media_type: {"schema": schemas.of(kind)} for media_type, kind in answer.content.items()}
    return described
