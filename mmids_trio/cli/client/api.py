"""The HTTP API as a command uses it: one request at a time, and every way in which it can fail in one sentence."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import quote

import httpx2
from attrs import define, frozen

from mmids_trio.cli.client.failures import ClientError, ProblemData, as_problem
from mmids_trio.cli.client.plans import ShownPlan, read_plan
from mmids_trio.errors import printable

CONNECT_SECONDS = 10.0

ANSWER_SECONDS = 60.0
"""What a server may take for an answer, beside the `wait` of a request: twice what it gives a body to arrive."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Twice what the details of 10,000 workflows take."""

MAX_LINE = 1024 * 1024
"""Characters in a line of an answer that goes on; those of a server have some hundred."""

SHOWN_CHARACTERS = 300
"""Of an answer that is not the API's."""

Params = Mapping[str, str]
Method = Literal["GET", "HEAD", "PUT", "POST", "DELETE"]

NO_WORKFLOW = "Workflow not found"
"""What the API says of a workflow that is not there."""

OF_A_CHANGE = (504, 507)
"""Statuses of 500 and more that are no fault of the server: what became of a change."""

UNCERTAIN = "; the server may have made the change, so run `plan` to see"


class Refused(ClientError):
    """An answer other than 200. `etag` is what a lost race (412) tells; `is_unknown`: there is no such request.

    `refused_by` is the option of a guard that would permit the change; `nodes`: what each of a cluster says.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        etag: str | None = None,
        is_unknown: bool = False,
        refused_by: str | None = None,
        nodes: Sequence[Mapping[str, Any]] = (),
        exit_status: int = 1,
        problems: Sequence[ProblemData] = (),
    ) -> None:
        super().__init__(message, status=status, exit_status=exit_status, problems=problems)
        self.etag = etag
        self.is_unknown = is_unknown
        self.refused_by = refused_by
        self.nodes = nodes


@frozen
class ConfigPart:
    """Which part of the configuration a plan or a change is about, and whether that is all that there shall be of it.

    `set`: `None` for that of the server where nobody names one. `in_place`: whether running steps take other
    parameters; `None`: as the server has it.
    """

    set: str | None = None
    prune: bool = False
    take_over: bool = False
    in_place: bool | None = None

    @property
    def params(self) -> Params:
        """The query that says so."""
        flags = given(prune=self.prune or None, take_over=self.take_over or None, in_place=self.in_place)
        return {**set_params(self.set), **flags}


def set_params(name: str | None) -> Params:
    """The query that names a set."""
    return {} if name is None else {"set": name}


@frozen
class ApiAnswer:
    """A 200."""

    text: str
    etag: str | None

    def json(self) -> Any:
        """The body. Raises `ClientError`."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise ClientError(f"the answer is not JSON: {_excerpt(self.text)}") from None


@define
class ApiClient:
    """The server at `url`, through `_http`."""

    url: str
    _http: httpx2.Client

    def request(
        self,
        method: Method,
        path: str,
        *,
        params: Params | None = None,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0,
        expected: Collection[int] = (httpx2.codes.OK,),
    ) -> ApiAnswer:
        """One request; `wait` is how long the server was told to wait, in seconds.

        Raises `ClientError`, also for a status that is not `expected`.
        """
        content = None if body is None else body.encode()
        given = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})} if body else dict(headers or {})
        request = self._http.build_request(method, path, params=params, content=content, headers=given)
        request.extensions["timeout"] = httpx2.Timeout(ANSWER_SECONDS + wait, connect=CONNECT_SECONDS).as_dict()
        with self._told_failures(method), self._answer(request) as response:
            text = _limited(response)
            if response.status_code not in expected:
                raise self._refusal(response, text)
            return ApiAnswer(text, response.headers.get("ETag"))

    @contextmanager
    def stream(
        self, path: str, *, params: Params, headers: Mapping[str, str], seconds: float
    ) -> Iterator[Iterator[str]]:
        """The lines of an answer that goes on, of which each piece takes at most `seconds`. Raises `ClientError`."""
        request = self._http.build_request("GET", path, params=params, headers=dict(headers))
        request.extensions["timeout"] = httpx2.Timeout(seconds, connect=CONNECT_SECONDS).as_dict()
        with self._told_failures("GET"), self._answer(request) as response:
            if response.status_code != httpx2.codes.OK:
                raise self._refusal(response, _limited(response))
            yield _lines(response)

    def _refusal(self, response: httpx2.Response, text: str) -> Refused:
        return refusal(self.url, response.status_code, text, had_token="Authorization" in self._http.headers)

    @contextmanager
    def _answer(self, request: httpx2.Request) -> Iterator[httpx2.Response]:
        response = self._http.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    @contextmanager
    def _told_failures(self, method: str) -> Iterator[None]:
        uncertain = UNCERTAIN if method in ("PUT", "DELETE") else ""
        try:
            yield
        except httpx2.ConnectTimeout:
            raise Unreachable(f"cannot reach {self.url} within {CONNECT_SECONDS:g} s") from None
        except httpx2.ConnectError as error:
            hint = "; does the server run with http_api_port? --server or MMIDS_SERVER takes another address"
            raise Unreachable(f"cannot reach {self.url}: {_reason(error)}{hint}") from None
        except httpx2.TimeoutException:
            raise Unreachable(f"{self.url} does not answer{uncertain}") from None
        except httpx2.TransportError as error:
            raise Unreachable(f"the connection to {self.url} broke: {_reason(error)}{uncertain}") from None
        except httpx2.HTTPError as error:
            raise ClientError(f"cannot read the answer of {self.url}: {_reason(error)}") from None

    # Requests of several commands.

    def plan(self, text: str, part: ConfigPart, *, show_keys: bool = False, if_match: str | None = None) -> ShownPlan:
        """`POST /config/plan`."""
        headers = {} if if_match is None else {"If-Match": if_match}
        params = {**part.params, **({"show_keys": "true"} if show_keys else {})}
        answer = self.request("POST", "/config/plan", params=params, body=text, headers=headers)
        return read_plan(answer.json(), answer.etag)

    def workflow(self, name: str) -> Mapping[str, Any] | None:
        """`GET /workflows/NAME`; `None` where there is none."""
        try:
            found = self.request("GET", workflow_path(name)).json()
        except Refused as error:
            if str(error) != NO_WORKFLOW:
                raise
            return None
        if not isinstance(found, Mapping) or not isinstance(found.get("active_steps"), list):
            raise ClientError("the answer is not a workflow; is this the HTTP API of an mmids_trio?")
        return found

    def unready(self) -> Sequence[str] | None:
        """`GET /ready`: why the server is not ready, as far as it tells; `None` where it is."""
        found = self.request("GET", "/ready", expected=(httpx2.codes.OK, httpx2.codes.SERVICE_UNAVAILABLE)).json()
        if not isinstance(found, Mapping) or not isinstance(found.get("ready"), bool):
            raise ClientError("the answer does not say whether it is ready; is this the HTTP API of an mmids_trio?")
        return None if found["ready"] else [str(reason) for reason in found.get("reasons", ())]

    def names(self) -> list[str]:
        """`GET /workflows`."""
        found = self.request("GET", "/workflows").json()
        if not isinstance(found, list) or not all(isinstance(item, Mapping) and "name" in item for item in found):
            raise ClientError("the answer is not a list of workflows; is this the HTTP API of an mmids_trio?")
        return [str(item["name"]) for item in found]


class Unreachable(ClientError):
    """There is no whole answer."""


def workflow_path(name: str) -> str:
    """Where a workflow is, whatever its name."""
    return f"/workflows/{quote(name, safe='')}"


def missing(api: ApiClient, name: str) -> ClientError:
    """That there is no such workflow; perhaps it has another name."""
    close = get_close_matches(name, api.names(), n=1)
    hint = f"; did you mean '{printable(close[0])}'?" if close else ""
    return ClientError(f"there is no workflow '{printable(name)}'{hint}", status=404)


def given(**options: bool | None) -> Params:
    """The options that are given (not `None`) as those of a request; `False` is given where it is said."""
    return {name: str(value).lower() for name, value in options.items() if value is not None}


def refusal(url: str, status: int, text: str, *, had_token: bool = False) -> Refused:
    """What an answer other than 200 means."""
    said = _error_of(text)
    message = said.message
    if status == httpx2.codes.UNAUTHORIZED:
        reason = "refuses this token" if had_token else "requires a token"
        return Refused(f"the server {reason}: set MMIDS_TOKEN to its http_api_token", status=status)
    if 300 <= status < 400:  # noqa: PLR2004  (HTTP's own class)
        message = f"{url} answers {status}, a redirect; this command follows none, so name the final address"
    elif message is None:
        message = f"{url} answers {status}: {_excerpt(text)}; is that the HTTP API of an mmids_trio?"
    elif message.startswith("no such path"):
        return Refused(f"{url} does not know this request; is it an older version?", status=status, is_unknown=True)
    elif status >= httpx2.codes.INTERNAL_SERVER_ERROR and status not in OF_A_CHANGE:
        message = f"{url} answers {status}: {message}"
    return Refused(
        message, status=status, etag=said.etag, refused_by=said.guard, problems=said.problems, nodes=said.nodes
    )


@frozen
class _Said:
    """What a refusal says, where it is the API's: else there is no message."""

    message: str | None = None
    etag: str | None = None
    guard: str | None = None
    problems: tuple[ProblemData, ...] = ()
    nodes: tuple[Mapping[str, Any], ...] = ()


def _error_of(text: str) -> _Said:
    try:
        document = json.loads(text)
        etag = document.get("etag")
        guard = document.get("refused_by")
        message = printable(str(document["error"]), kept="\n\t")
        problems = tuple(map(as_problem, document.get("problems", ())))
        nodes = tuple(node for node in document.get("nodes", ()) if isinstance(node, Mapping))
        tag, guarded = (None if each is None else str(each) for each in (etag, guard))
        return _Said(message, tag, guarded, problems, nodes)
    except (ValueError, TypeError, KeyError, AttributeError):
        return _Said()


def _lines(response: httpx2.Response) -> Iterator[str]:
    """Lines without their ends, none of them endless."""
    rest = ""
    for piece in response.iter_text():
        *complete, rest = (rest + piece).split("\n")
        yield from (line.removesuffix("\r") for line in complete)
        if len(rest) > MAX_LINE:
            raise ClientError(f"the server sends a line of more than {MAX_LINE} characters")


def _excerpt(text: str) -> str:
    line = printable(text.strip().partition("\n")[0])
    return (line[:SHOWN_CHARACTERS] + "…" if len(line) > SHOWN_CHARACTERS else line) or "(nothing)"


def _limited(response: httpx2.Response) -> str:
    pieces, size = [], 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise ClientError(f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB")
        pieces.append(piece)
    return b"".join(pieces).decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    """`Connection refused` for `[Errno 111] Connection refused`."""
    text = str(error) or type(error).__name__
    return printable(text.rpartition("] ")[2])


LOST_RACE = 412


@contextmanager
def lost_races() -> Iterator[None]:
    """Say what to do about a condition that does not hold."""
    try:
        yield
    except Refused as error:
        if error.status != LOST_RACE:
            raise
        raise Refused(
            "refused: somebody else has changed the server since this plan was made"
            f" (its ETag is now {error.etag}); nothing was changed. Run `plan` again, then `apply`",
            status=LOST_RACE,
            etag=error.etag,
        ) from None
