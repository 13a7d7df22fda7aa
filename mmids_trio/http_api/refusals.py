"""The ways in which a request is turned down on purpose, as exceptions that handlers raise and `errors` answers.

Apart from the checks that raise them, so that pure modules can turn a request down without knowing of answers.
"""

from attrs import frozen

from mmids_trio.errors import Problem


class BadRequest(Exception):
    """The request cannot be served as it is; `str()` is the answer's message (400)."""


class UnreadableEncoding(Exception):
    """The body comes in a form that is not read; `str()` is the answer's message (415)."""


class Conflict(Exception):
    """What runs forbids the change, of which nothing was done; `str()` is the answer's message (409)."""


@frozen(eq=False)
class TextConflict(Exception):
    """Steps of a body want the same thing, so it cannot be put in place; nothing was done (409)."""

    problems: tuple[Problem, ...]


@frozen(eq=False)
class GuardRefused(Exception):
    """A guard forbids the change, of which nothing was done (409). `guard` is the option that would permit it."""

    message: str
    guard: str


class Forbidden(Exception):
    """The caller's token is not good for that; `str()` is the answer's message (403)."""


class NotHere(Exception):
    """Nothing of that name; `str()` is the answer's message (404)."""


@frozen(eq=False)
class PreconditionFailed(Exception):
    """A condition of the request does not hold (412). `etag` is the current one, `None` where nothing is there."""

    message: str
    etag: str | None


@frozen(eq=False)
class NotModified(Exception):
    """The client has what it asks for (304)."""

    etag: str
