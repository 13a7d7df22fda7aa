"""What one operation of the API takes and answers, as plain data: the stuff of the OpenAPI document.

Apart from the handlers, which are added together with one of these, and from the document, which is made of them.
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from mmids_trio.config.names import MAX_NAME_BYTES
from mmids_trio.http_api.options import MAX_WAIT_SECONDS
from mmids_trio.http_api.schemas import ConditionError, Error, Json
from mmids_trio.http_api.tokens import ScopeKind

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
EVENT_STREAM = "text/event-stream"
WORKFLOW = "application/vnd.mmids.workflow"


@frozen
class AnswerSpec:
    """What comes with one status: `content` has a type for each media type (`str`: plain text), `headers` are names."""

    meaning: str
    content: Mapping[str, Any] = field(factory=dict)
    headers: tuple[str, ...] = ()


@frozen
class QueryParameter:
    """One parameter; `schema` is JSON Schema, as `AnswerSpec` has no use for types that are only written in a query."""

    name: str
    where: Literal["query", "path", "header"]
    schema: Mapping[str, Json]
    meaning: str


@frozen
class Body:
    """What a request carries, in one of these media types; `schema` is JSON Schema."""

    meaning: str
    media_types: tuple[str, ...]
    example: Json
    schema: Mapping[str, Json] = field(factory=lambda: {"type": "string"})
    required: bool = True


@frozen
class Operation:
    """One method of one path; `public` ones need no token, all others one with the `scope`, or with the scope `also`.

    `is_of_page`: it is the dashboard's own, for which nothing else is made, so the document leaves it out.
    """

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    operation_id: str
    summary: str
    answers: Mapping[int, AnswerSpec]
    parameters: tuple[QueryParameter, ...] = ()
    body: Body | None = None
    public: bool = False
    is_of_page: bool = False
    also: ScopeKind | None = None
    scope: ScopeKind = field()

    @scope.default
    def _least_and_most(self) -> ScopeKind:
        """Who does not say what may change something leaves it to those who may do everything."""
        return "read" if self.method == "GET" else "admin"

    @property
    def scopes(self) -> tuple[ScopeKind, ...]:
        """Those of which one is enough."""
        return (self.scope,) if self.also is None else (self.scope, self.also)

    @property
    def takes(self) -> str:
        """The same in words."""
        return "none" if self.public else " or ".join(self.scopes)


def json_answer(meaning: str, shape: Any, *headers: str) -> AnswerSpec:
    """An answer with JSON of one shape."""
    return AnswerSpec(meaning, {JSON: shape}, headers)


def text_answer(meaning: str, *headers: str) -> AnswerSpec:
    """An answer with plain text."""
    return AnswerSpec(meaning, {TEXT: str}, headers)


def error(meaning: str, *headers: str) -> AnswerSpec:
    """A refusal."""
    return json_answer(meaning, Error, *headers)


NAME = QueryParameter(
    "name", "path", {"type": "string", "minLength": 1, "examples": ["show"]}, "Any name, percent-encoded."
)

TRUE_OR_FALSE: Mapping[str, Json] = {"type": "string", "enum": ["true", "false"]}

SHOW_KEYS = QueryParameter(
    "show_keys", "query", TRUE_OR_FALSE, "Whether the plan shows the exact stream keys of `rtmp_receive`, not `***`."
)

IN_PLACE = QueryParameter(
    "in_place",
    "query",
    TRUE_OR_FALSE,
    "Whether a running step takes the parameters that it can, rather than being replaced; else the setting decides.",
)

SET_NAME: Mapping[str, Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME_BYTES,
    "examples": ["team-a"],
}

_UP_TO_299 = r"(0{0,4}[0-9]{1,2}|0{0,3}[12][0-9]{2})(\.[0-9]{0,9})?"
_SECONDS = rf"^({_UP_TO_299}|0{{0,3}}300(\.0{{0,9}})?|\.[0-9]{{1,9}})$"
WAIT = QueryParameter(
    "wait",
    "query",
    {"type": "string", "pattern": _SECONDS},
    f"Seconds, 0 to {MAX_WAIT_SECONDS}: answer when the update has finished.",
)

_TAGS: Mapping[str, Json] = {
    "anyOf": [
        {"type": "string", "enum": ["*"]},
        {"type": "string", "pattern": r'^(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*"){0,7}$'},
    ]
}
IF_MATCH = QueryParameter("If-Match", "header", _TAGS, "Go on only if the ETag is one of these (`*`: any).")
IF_NONE_MATCH = QueryParameter("If-None-Match", "header", _TAGS, "Go on only if the ETag is none of these.")
CONDITIONS = (IF_MATCH, IF_NONE_MATCH)

LOST_RACE = json_answer("A condition (`If-Match`, `If-None-Match`) does not hold.", ConditionError, "ETag")
NOT_MODIFIED = AnswerSpec("The definition is the one whose ETag was sent.", {}, ("ETag",))
BAD_CONDITION = error("A condition is malformed.")
COMPRESSED = error("The body is compressed.")
NOT_KEPT = error("The change was made, but the state file could not be written; it is tried again.")
