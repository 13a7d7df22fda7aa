"""Our own RTMP client: gets a connection to another server as far as publishing or playing.

What goes over it then is the caller's: a pushing step attaches the connection to a channel, a pulling step reads
events.

Servers may ask for Adobe's authentication of encoders (`authmod=adobe`; Wowza, Akamai and others): they refuse
`connect` and say in the description what they want; the client connects again with the answer in the query of its
application: first its name, then what it makes of the server's salt and challenge and its password.  The scheme is
what FFmpeg and librtmp do; there is no published specification.  Its MD5 is part of it.
"""

import os
from base64 import b64encode
from collections.abc import Callable
from hashlib import md5
from urllib.parse import quote, unquote

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.errors import MmidsError, ProtocolError
from mmids_trio.net.limits import TokenBucket
from mmids_trio.net.tls import Dialer
from mmids_trio.net.transport import Transport
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.rtmp.protocol.client_connection import FORWARDS_EVERYTHING, ClientConnection
from mmids_trio.rtmp.protocol.events import (
    ClientConnected,
    ClientEvent,
    PlayStarted,
    PublishStarted,
    RefusalReceived,
    StatusReceived,
)
from mmids_trio.rtmp.protocol.limits import MAX_TALK_BURST, MAX_TALK_RATE
from mmids_trio.rtmp.protocol.outgoing import OUTGOING_CHUNK_SIZE
from mmids_trio.rtmp.protocol.urls import RtmpUrl

log = structlog.get_logger()

CHALLENGE_BYTES = 4


def authentication_answer(description: str, user: str, password: str, random: Callable[[int], bytes]) -> str | None:
    """The query to append to application and `tcUrl` for the next try; `None` where another try is of no use.

    `description` is the server's refusal of `connect`; `random(n)` returns `n` random bytes.
    """
    if not user or "authmod=adobe" not in description:
        return None
    if "code=403 need auth" in description:
        return f"?authmod=adobe&user={quote(user)}"
    query = description.partition("?")[2]
    asked = dict(part.partition("=")[::2] for part in query.split("&"))
    if not asked.get("reason", "").startswith("needauth"):
        return None
    return _response(asked, user, password, random(CHALLENGE_BYTES).hex())


def _response(asked: dict[str, str], user: str, password: str, own_challenge: str) -> str:
    salt, challenge, opaque = (unquote(asked.get(name, "")) for name in ("salt", "challenge", "opaque"))
    secret = _digest(user + salt + password)
    response = _digest(secret + (opaque or challenge) + own_challenge)
    query = f"?authmod=adobe&user={quote(user)}&challenge={own_challenge}&response={response}"
    return query + (f"&opaque={opaque}" if opaque else "")


def _digest(text: str) -> str:
    return b64encode(md5(text.encode(), usedforsecurity=False).digest()).decode()


CONNECT_SECONDS = 15.0
"""From the look-up of the host to the first frame; OBS waits about as long."""

READ_SIZE = 64 * 1024
"""Bytes per read, as in a server's session."""

MAX_TRIES = 3
"""Connections for one try with authentication: refused, told what to send, let in."""


MAX_DESCRIPTION = 300
"""Characters of a server's reason that are kept."""


class ClientFailed(MmidsError):
    """The other server cannot be reached, refuses, or has ended the connection; without anything secret."""


@frozen
class Purpose:
    """What a client is for: how it asks, and which event is the answer."""

    ask: Callable[[ClientConnection, str], None]
    answer: type[PublishStarted | PlayStarted]


TO_PUBLISH = Purpose(lambda connection, key: connection.publish(key), PublishStarted)
TO_PLAY = Purpose(lambda connection, key: connection.play(key), PlayStarted)


@define(eq=False)
class Peer:
    """A server at the other end of one of our connections: what it says, and what is said to it.

    It is trusted no more than a client of ours: it is read in turns, and may say as much that is no media.
    """

    transport: Transport
    connection: ClientConnection
    rejections: RejectCounters
    _talk: TokenBucket = field(init=False)
    _talked: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._talk = TokenBucket(MAX_TALK_BURST, MAX_TALK_RATE, trio.current_time())

    async def next_events(self) -> list[ClientEvent]:
        """What the server said next, or some of it. Raises `ClientFailed` where the connection is or has to be over."""
        try:
            if self.connection.has_more:
                await trio.lowlevel.checkpoint()
                events = self.connection.receive_turn()
            else:
                data = await self.transport.receive_some(READ_SIZE)
                if not data:
                    raise ClientFailed("it has closed the connection")
                events = self.connection.receive_turn(data)
        except ProtocolError as error:
            raise self.broken(error) from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientFailed(f"connection lost: {error}") from error
        for oddity, detail in self.connection.oddities.take_untold():
            log.info("server says something odd", oddity=oddity.value, detail=detail)
        self._listen_no_longer_than_it_may_talk()
        return events

    def _listen_no_longer_than_it_may_talk(self) -> None:
        talked, self._talked = self.connection.talk - self._talked, self.connection.talk
        if talked and not self._talk.spend(talked, trio.current_time()):
            self.rejections.count(RejectReason.PEER_TALKATIVE)
            raise ClientFailed("it sent more commands and metadata than anybody needs")

    def broken(self, error: ProtocolError) -> ClientFailed:
        """Count what it did, and say so."""
        self.rejections.count(RejectReason.PEER_PROTOCOL)
        return ClientFailed(f"it breaks the protocol: {error}")

    async def reply(self) -> None:
        """Send what wants to be sent. Raises `ClientFailed`."""
        try:
            if data := self.connection.data_to_send():
                await self.transport.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientFailed(f"connection lost: {error}") from error


@define(eq=False)
class OpenClient:
    """One connection that has got what it is for, on message stream `stream`; the owner closes it."""

    peer: Peer
    stream: int
    early: list[ClientEvent] = field(factory=list)
    """What came in the same turn as the answer, behind it."""

    @property
    def transport(self) -> Transport:
        """What it is a connection over."""
        return self.peer.transport

    @property
    def connection(self) -> ClientConnection:
        """Its protocol."""
        return self.peer.connection

    def close(self) -> None:
        """Let go of the connection at once."""
        self.transport.close()

    async def next_events(self) -> list[ClientEvent]:
        """See `Peer`."""
        if self.early:
            events, self.early = self.early, []
            await trio.lowlevel.checkpoint()
            return events
        return await self.peer.next_events()

    async def reply(self) -> None:
        """See `Peer`."""
        await self.peer.reply()


async def open_client(
    dialer: Dialer, url: RtmpUrl, key: str, purpose: Purpose, rejections: RejectCounters
) -> OpenClient:
    """Connect to the server of `url` and ask for `key` there. Raises `ClientFailed` with the reason.

    `key`: with its query, if it has one.  `rejections` counts what the server does that it may not, now and later.
    Takes `CONNECT_SECONDS` at most.
    """
    opening = _Opening(url, "", key, purpose)
    with trio.move_on_after(CONNECT_SECONDS):
        for _ in range(MAX_TRIES):
            client = await opening.run(dialer, rejections)
            if client is not None:
                return client
            opening = _Opening(url, opening.next_query, key, purpose)
        raise ClientFailed("it asks for authentication again and again")
    raise ClientFailed(f"no answer within {CONNECT_SECONDS:.0f} s{opening.last_words}")


@define(eq=False)
class _Opening:
    """One connection on its way to its purpose."""

    url: RtmpUrl
    query: str
    key: str
    purpose: Purpose
    next_query: str = field(default="", init=False)
    """What another try has to send, where `run` says that there has to be one."""
    _said: StatusReceived | None = field(default=None, init=False)

    @property
    def last_words(self) -> str:
        """What the server has said that was no answer, for the message that there was none."""
        return "" if self._said is None else f"; it said {_in_a_line(self._said, (self.key, self.url.password))}"

    async def run(self, dialer: Dialer, rejections: RejectCounters) -> OpenClient | None:
        """The client, or `None` where the server wants another connection with `next_query`."""
        url = self.url
        try:
            transport = await dialer.dial(url.host, url.port, tls=url.tls)
        except OSError as error:
            raise ClientFailed(f"cannot connect: {error.strerror or error}") from error
        app, tc_url = url.app + self.query, url.tc_url + self.query
        connection = ClientConnection(
            os.urandom, app, tc_url, chunk_size=OUTGOING_CHUNK_SIZE, properties=FORWARDS_EVERYTHING
        )
        client = None
        try:
            client = await self._converse(Peer(transport, connection, rejections))
        finally:
            if client is None:
                transport.close()
        return client

    async def _converse(self, peer: Peer) -> OpenClient | None:
        while True:
            await peer.reply()
            try:
                events = await peer.next_events()
            except ClientFailed as error:
                raise ClientFailed(f"{error}{self.last_words}") from error
            for place, event in enumerate(events):
                if isinstance(event, ClientConnected):
                    self._ask(peer)
                elif isinstance(event, self.purpose.answer):
                    return OpenClient(peer, event.stream, events[place + 1 :])
                elif isinstance(event, RefusalReceived):
                    self._note_what_is_missing(event)
                    return None
                elif isinstance(event, StatusReceived):
                    self._said = event

    def _ask(self, peer: Peer) -> None:
        try:
            self.purpose.ask(peer.connection, self.key)
        except ProtocolError as error:  # it has let us in and turned us away in one breath
            raise peer.broken(error) from error

    def _note_what_is_missing(self, refusal: RefusalReceived) -> None:
        query = authentication_answer(refusal.description, self.url.user, self.url.password, os.urandom)
        if query is None or query == self.query:
            raise ClientFailed(explain(refusal, (self.key, self.url.password)))
        self.next_query = query


def explain(refusal: RefusalReceived, secrets: tuple[str, ...] = ()) -> str:
    """A refusal in a line, without `secrets` (servers like to repeat the key)."""
    return f"it refuses: {_in_a_line(refusal, secrets) or 'without a reason'}"


def _in_a_line(said: RefusalReceived | StatusReceived, secrets: tuple[str, ...]) -> str:
    """What the other side said, its secrets hidden before it is cut, lest a piece of one be left."""
    text = ": ".join(filter(None, (said.code, said.description)))
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text[:MAX_DESCRIPTION]
