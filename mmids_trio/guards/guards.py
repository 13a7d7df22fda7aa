"""What every client has to pass, of whichever protocol, between the secrets of a step and its reactor.

The order in which a client is looked at: its address and whether it is banned (`rtmp.server.endpoints.admit`), the
token of the step, then here its JSON Web Token and the web service of `auth_url`; then the step's reactor, and last
whether the key is free.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from math import inf
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from weakref import WeakValueDictionary

import structlog
import trio
from attrs import define, field

from mmids_trio.errors import TooManyQuestions, shortened
from mmids_trio.guards.claims import PARAMETER, SHARED, BadToken, Wish, check, read_head, read_keys
from mmids_trio.guards.web_service import NoAnswer, WebClient
from mmids_trio.reactors.asker import Asker
from mmids_trio.reactors.line import QuestionLine
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import Client, RequestRefused
from mmids_trio.stream_request import StreamRequest, query_without

if TYPE_CHECKING:
    from jwt import PyJWK

log = structlog.get_logger()

OK, FORBIDDEN = 200, 403

MOST_KEPT = 10_000
"""Answers of one service that are kept: a crowd that joins, each with a query of its own."""

LONGEST_KEPT = 3_600
"""Seconds that an answer is kept at most, whatever it says: somebody who was let in once is asked about again."""

PATIENCE_SECONDS = 60.0
"""How long a client waits for its turn to be asked about; as for reactors."""

KEYS_SECONDS = 300.0
"""How long public keys count without a look at their URL."""

KEYS_AGAIN_SECONDS = 10.0
"""From one look to the next for a key that is not known: a stranger names whatever he likes."""


@runtime_checkable
class WithAgent(Protocol):
    """A client that says what program it is."""

    @property
    def agent(self) -> str:
        """As it says."""


@define(eq=False)
class AuthService:
    """One `auth_url`: asks it whether a client may, and keeps answers as long as they say."""

    _url: str = field(repr=False)
    _web: WebClient
    line: QuestionLine = field(factory=QuestionLine, init=False)
    _kept: OrderedDict[Hashable, tuple[bool, float]] = field(factory=OrderedDict, init=False)
    """The answer to each question, and until when it counts; what was asked last at the end."""
    _is_failing: bool = field(default=False, init=False)

    async def permits(self, request: StreamRequest, client: Client) -> bool:
        """Whether it says yes. Raises `NoAnswer`, and `TooManyQuestions` where so many of an address wait already."""
        question = {
            "action": request.action,
            "protocol": request.protocol,
            "address": request.address or client.peer_host,
            "app": request.app,
            "key": request.key,
            "query": request.query,
            "agent": shortened(client.agent) if isinstance(client, WithAgent) else "",
        }
        identity = tuple(question.values())
        if (kept := self._kept.get(identity)) is not None and trio.current_time() < kept[1]:
            return kept[0]
        asker = Asker.of(client)
        place = self.line.place(asker)
        try:
            with trio.move_on_after(PATIENCE_SECONDS):
                async with place.turn():
                    return await self._ask(question, identity)
            raise NoAnswer(f"no turn within {PATIENCE_SECONDS:.0f} s")
        finally:
            place.settle()

    async def _ask(self, question: Mapping[str, str | None], identity: Hashable) -> bool:
        try:
            answer = await self._web.ask(self._url, question)
            if answer.status not in (OK, FORBIDDEN):
                raise NoAnswer(f"status {answer.status}")
        except NoAnswer as error:
            self._set_failing(str(error))
            raise
        self._set_failing(None)
        self._keep(identity, answer.status == OK, min(answer.max_age, LONGEST_KEPT))
        return answer.status == OK

    def _keep(self, identity: Hashable, permits: bool, seconds: int) -> None:
        self._kept.pop(identity, None)
        if seconds:
            self._kept[identity] = permits, trio.current_time() + seconds
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def _set_failing(self, reason: str | None) -> None:
        """Said once when it begins and once when it ends."""
        if reason is not None and not self._is_failing:
            log.warning("auth_url fails", reason=reason)
        elif reason is None and self._is_failing:
            log.info("auth_url works again")
        self._is_failing = reason is not None


@define(eq=False)
class TokenDoor:
    """Lets in who has a good JSON Web Token: signed with `key`, or one of those at `keys_url`. `now`: Unix time."""

    _web: WebClient
    _key: str | None = field(repr=False)
    _keys_url: str | None = field(repr=False)
    _now: Callable[[], float]
    _keys: Mapping[str | None, "PyJWK"] = field(factory=dict, init=False)
    _looked_at: float = field(default=-inf, init=False)
    _looking: trio.Lock = field(factory=trio.Lock, init=False)

    async def check(self, request: StreamRequest, query: Query) -> None:
        """Raises `BadToken`."""
        token = query.parameters.get(PARAMETER, "")
        head = read_head(token)
        wish = Wish(request.action, request.app or "", request.key)
        if head.algorithm in SHARED:
            if self._key is None:
                raise BadToken("the token's algorithm is not taken")
            check(token, self._key, wish, self._now())
            return
        key = await self._public_key(head.key_id)
        check(token, key, wish, self._now())

    async def _public_key(self, name: str | None) -> "PyJWK":
        if self._keys_url is None:
            raise BadToken("the token's algorithm is not taken")
        if self._is_due(name):
            async with self._looking:  # who comes meanwhile waits for the same look
                if self._is_due(name):
                    await self._look(self._keys_url)
        key = self._keys.get(name)
        if key is None and name is None and len(self._keys) == 1:
            key = next(iter(self._keys.values()))
        if key is None:
            raise BadToken("the token is signed with a key that is not known")
        return key

    def _is_due(self, name: str | None) -> bool:
        age = trio.current_time() - self._looked_at
        is_unknown = name not in self._keys and not (name is None and len(self._keys) == 1)
        return age >= KEYS_SECONDS or (is_unknown and age >= KEYS_AGAIN_SECONDS)

    async def _look(self, url: str) -> None:
        """Where that fails the keys of before count on."""
        self._looked_at = trio.current_time()
        try:
            answer = await self._web.ask(url)
            if answer.status != OK:
                raise NoAnswer(f"status {answer.status}")
            self._keys = read_keys(json.loads(answer.body))
        except (NoAnswer, ValueError, RecursionError) as error:
            log.warning("auth_jwks_url fails, keys of before count on", reason=str(error), keys=len(self._keys))


@define(eq=False, kw_only=True)
class Guards:
    """Those of one server. `url` is the `auth_url` of steps that name none; `allows`: where a service fails."""

    url: str | None = field(default=None, repr=False)
    allows_on_failure: bool = False
    jwt_key: str | None = field(default=None, repr=False)
    jwks_url: str | None = field(default=None, repr=False)
    now: Callable[[], float] = lambda: 0.0
    web: WebClient = field(factory=WebClient)
    _services: WeakValueDictionary[str, AuthService] = field(factory=WeakValueDictionary, init=False)
    """As long as a step asks them."""
    _door: TokenDoor | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.jwt_key is not None or self.jwks_url is not None:
            self._door = TokenDoor(self.web, self.jwt_key, self.jwks_url, self.now)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled services can be asked."""
        async with self.web.opened():
            if self.jwks_url is not None or self.url is not None:
                self.web.prepare()
            task_status.started()
            await trio.sleep_forever()

    def of_step(self, auth_url: str | None) -> "StepGuards":
        """What the clients of a step have to pass. `auth_url`: its own."""
        url = auth_url or self.url
        service = None
        if url is not None:
            service = self._services.get(url)
            if service is None:
                self._services[url] = service = AuthService(url, self.web)
                self.web.prepare()
        return StepGuards(service, self._door, self.allows_on_failure)


@define(eq=False)
class StepGuards:
    """Those of one step; none by default."""

    _service: AuthService | None = None
    _door: TokenDoor | None = None
    _allows_on_failure: bool = False

    @property
    def name(self) -> str | None:
        """What a client that is let in has shown."""
        return None if self._door is None else PARAMETER

    def rest(self, query: str) -> str:
        """What of a query is for others to see: not what is checked here."""
        return query if self._door is None else query_without(query, (PARAMETER,))

    async def check(self, request: StreamRequest, query: Query, client: Client, code: str) -> None:
        """Raises `RequestRefused` with the status `code`. Without guards it returns at once."""
        if self._door is not None:
            try:
                await self._door.check(request, query)
            except BadToken as error:
                raise RequestRefused(code, str(error), RejectReason.JWT) from None
        if self._service is not None:
            await self._ask(self._service, request, client, code)

    async def _ask(self, service: AuthService, request: StreamRequest, client: Client, code: str) -> None:
        try:
            if not await service.permits(request, client):
                raise RequestRefused(code, "the stream is not approved", RejectReason.AUTH)
        except TooManyQuestions as error:
            raise RequestRefused(code, str(error), RejectReason.QUESTIONS) from error
        except NoAnswer:
            if not self._allows_on_failure:
                what = "whoever decides about that cannot be asked"
                raise RequestRefused(code, what, RejectReason.AUTH_FAILED) from None


NO_GUARDS = StepGuards()
"""Let everybody in."""
