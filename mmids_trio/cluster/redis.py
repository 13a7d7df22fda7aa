"""A registry in Redis (or Valkey), also behind Sentinel, by coredis, which runs under trio.

Every operation is one script, so nothing happens between its parts.  Indexes say what is there, as looking through a
database that others use as well may take long.  An epoch is at least the time of Redis' clock in milliseconds: so it
grows although a replica that took over, or an empty database, has not heard of the last ones.

A client whose connections do not answer is thrown away: the network may have forgotten them without a word.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from secrets import token_hex
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
import trio
from anyio import BrokenResourceError, ClosedResourceError
from attrs import define, field
from coredis import Redis, Sentinel
from coredis.connection import TCPLocation
from coredis.exceptions import RedisError

from mmids_trio.cluster import entries
from mmids_trio.cluster.directory import (
    ASK_SECONDS,
    NODE_TTL_SECONDS,
    RENEW_SECONDS,
    STREAM_TTL_SECONDS,
    Document,
    Incarnation,
    NodeEntry,
    RegistryAway,
    StreamEntry,
    StreamKey,
)
from mmids_trio.cluster.hints import Hints

log = structlog.get_logger()

CONNECT_SECONDS = ASK_SECONDS / 2
"""So that a connection that does not come about still leaves time to say so."""

CONNECTIONS = 8
"""Of one node: questions share them, each has its own place in the line of answers."""

DEFAULT_PORT, DEFAULT_SENTINEL_PORT = 6379, 26379

FAILURES = (RedisError, OSError, TimeoutError, ClosedResourceError, BrokenResourceError)
"""Of a client, and of one whose connection ends under it."""

_COMMON = """
local prefix = KEYS[1]
local function now_ms() local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) end
local function put(kind, name, text, ttl)
    local key = prefix .. kind .. '/' .. name
    if ttl > 0 then redis.call('SET', key, text, 'PX', ttl) else redis.call('SET', key, text) end
    redis.call('ZADD', prefix .. kind, ttl > 0 and now_ms() + ttl or '+inf', name)
end
local function drop(kind, name)
    redis.call('DEL', prefix .. kind .. '/' .. name)
    redis.call('ZREM', prefix .. kind, name)
end
local function parts(text) return string.match(text, '^(%d+) (%d+) (.*)$') end
local function keep(name, present, turn, ttl)
    local epoch, shown, owner = parts(present)
    local text = epoch .. ' ' .. string.format('%.0f', math.max(tonumber(shown), turn)) .. ' ' .. owner
    put('stream', name, text, ttl)
    return text
end
local function get(kind, name) return redis.call('GET', prefix .. kind .. '/' .. name) end
local function tell(what) redis.call('PUBLISH', prefix .. 'changes', what) end
"""

_CLAIM = """
local name, owner, turn, seen, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local present = get('stream', name)
if present then
    local _, shown, holder = parts(present)
    if holder == owner then return keep(name, present, turn, ttl) end
    if not shown or tonumber(shown) % 2 == 0 or turn % 2 == 1 then return present end
end
local known = tonumber(redis.call('GET', prefix .. 'epoch') or '0')
local epoch = string.format('%.0f', math.max(known, seen, now_ms()) + 1)
redis.call('SET', prefix .. 'epoch', epoch)
local text = epoch .. ' ' .. ARGV[3] .. ' ' .. owner
put('stream', name, text, ttl)
tell('stream/' .. name)
return text
"""

_RENEW = """
local present = get('stream', ARGV[1])
local epoch, _, owner = parts(present or '')
if epoch ~= ARGV[2] or owner ~= ARGV[3] then return present end
return keep(ARGV[1], present, tonumber(ARGV[4]), tonumber(ARGV[5]))
"""

_RELEASE = """
local epoch, _, owner = parts(get('stream', ARGV[1]) or '')
if epoch == ARGV[2] and owner == ARGV[3] then
    drop('stream', ARGV[1])
    tell('stream/' .. ARGV[1])
end
return 0
"""

_GET = "return get(ARGV[1], ARGV[2])"
_PUT = "put(ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])) return 0"
_DROP = "drop(ARGV[1], ARGV[2]) return 0"

_ALL = """
local kind, begin, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', prefix .. kind, '-inf', now_ms() - 60000)
local found, names = {}, redis.call('ZRANGEBYSCORE', prefix .. kind, now_ms(), '+inf')
for _, name in ipairs(names) do
    if string.sub(name, 1, #begin) == begin then
        local text = get(kind, name)
        if text then
            if #found >= 2 * most then return redis.error_reply('too many entries') end
            found[#found + 1] = name
            found[#found + 1] = text
        end
    end
end
return found
"""

_GENERATION = """
redis.call('SETNX', prefix .. 'generation', ARGV[1])
return redis.call('GET', prefix .. 'generation')
"""

_WRITE = """
local name, text, expected, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local present = get('document', name)
local version = present and tonumber(string.match(present, '^(%d+) ')) or 0
if expected >= 0 and expected ~= version then return 0 end
put('document', name, (version + 1) .. ' ' .. text, ttl)
tell('document/' .. name)
return version + 1
"""

OpenClient = Callable[[], AbstractAsyncContextManager["Redis[bytes]"]]


def redis_client(url: str) -> OpenClient:
    """How a client of `redis://` or `redis-sentinel://` is opened, as the configuration has checked it."""
    parts = urlsplit(url)
    hosts = [_location(host, url) for host in parts.netloc.rpartition("@")[2].split(",")]
    login: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "connect_timeout": CONNECT_SECONDS,
    }
    path = parts.path.strip("/")
    if parts.scheme == "redis-sentinel":
        return lambda: _by_sentinel(hosts, path, login)
    return lambda: Redis(hosts[0].host, hosts[0].port, db=int(path or 0), max_connections=CONNECTIONS, **login)


def _location(host: str, url: str) -> TCPLocation:
    parts = urlsplit(f"//{host}")
    default = DEFAULT_SENTINEL_PORT if url.startswith("redis-sentinel") else DEFAULT_PORT
    return TCPLocation(parts.hostname or "", parts.port or default)


@asynccontextmanager
async def _by_sentinel(
    hosts: Sequence[TCPLocation], service: str, login: dict[str, Any]
) -> "AsyncIterator[Redis[bytes]]":
    of_sentinels = {"connect_timeout": CONNECT_SECONDS / len(hosts)}
    async with (
        Sentinel(hosts, sentinel_kwargs=of_sentinels, max_connections=CONNECTIONS, **login) as sentinel,
        sentinel.primary_for(service) as client,
    ):
        yield client


@define(eq=False)
class RedisDirectory:
    """See `Directory`. `cluster` names what is ours in a database that others may use, too."""

    _cluster: str
    _open_client: OpenClient
    _hints: Hints = field(factory=Hints, init=False)
    _client: "Redis[bytes] | None" = field(default=None, init=False)
    _is_stale: trio.Event = field(factory=trio.Event, init=False)
    _is_listening: trio.Event = field(factory=trio.Event, init=False)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """See `Directory`."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._keep_client)
            yield
            nursery.cancel_scope.cancel()

    async def claim(self, wanted: StreamEntry) -> StreamEntry:
        """See `Directory`."""
        name, owner = entries.stream_name(wanted.key), entries.owner_text(wanted)
        answer = await self._run(_CLAIM, name, owner, wanted.turn, wanted.epoch, _ms(STREAM_TTL_SECONDS))
        entry = _stream(wanted.key, answer)
        if entry is None:
            raise RegistryAway(f"what the registry has for '{wanted.key}' is no entry")
        return entry

    async def renew(self, held: StreamEntry) -> StreamEntry | None:
        """See `Directory`."""
        answer = await self._run(_RENEW, *_this_very(held), held.turn, _ms(STREAM_TTL_SECONDS))
        return _stream(held.key, answer)

    async def release(self, held: StreamEntry) -> None:
        """See `Directory`."""
        await self._run(_RELEASE, *_this_very(held))

    async def look_up(self, key: StreamKey) -> StreamEntry | None:
        """See `Directory`."""
        return _stream(key, await self._run(_GET, "stream", entries.stream_name(key)))

    async def streams(self) -> Sequence[StreamEntry]:
        """See `Directory`."""
        found = [(entries.stream_key(name), text) for name, text in await self._all("stream")]
        read = [_stream(key, text.encode()) for key, text in found if key is not None]
        return [entry for entry in read if entry is not None]

    async def announce(self, node: NodeEntry) -> None:
        """See `Directory`."""
        await self._run(_PUT, "node", entries.node_name(node.owner), entries.node_text(node), _ms(NODE_TTL_SECONDS))

    async def leave(self, owner: Incarnation) -> None:
        """See `Directory`."""
        await self._run(_DROP, "node", entries.node_name(owner))

    async def nodes(self) -> Sequence[NodeEntry]:
        """See `Directory`."""
        read = [entries.node_entry(text) for _, text in await self._all("node")]
        return [entry for entry in read if entry is not None]

    async def generation(self) -> str:
        """See `Directory`."""
        return _decoded(await self._run(_GENERATION, token_hex(8))) or ""

    async def read(self, name: str) -> Document | None:
        """See `Directory`."""
        text = _decoded(await self._run(_GET, "document", entries.document_name(name)))
        return None if text is None else entries.document(text)

    async def write(self, name: str, text: str, expected: int | None, ttl_s: float | None = None) -> Document | None:
        """See `Directory`."""
        entries.check_size(text)
        version = -1 if expected is None else expected
        ttl = 0 if ttl_s is None else _ms(ttl_s)
        answer = await self._run(_WRITE, entries.document_name(name), text, version, ttl)
        return Document(text, int(answer)) if answer else None

    async def documents(self, prefix: str) -> Sequence[tuple[str, Document]]:
        """See `Directory`."""
        found = await self._all("document", entries.document_name(prefix))
        read = [(entries.written_document_name(name), entries.document(text)) for name, text in found]
        return [(name, document) for name, document in read if document is not None]

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncGenerator[StreamKey | str, None]]:
        """See `Directory`. A connection that breaks comes back, without what was missed meanwhile."""
        async with self._hints.listening() as changes:
            with trio.move_on_after(ASK_SECONDS):
                await self._is_listening.wait()
            yield changes

    async def _all(self, kind: str, begin: str = "") -> Sequence[tuple[str, str]]:
        answer = [_decoded(each) or "" for each in await self._run(_ALL, kind, begin, entries.MOST_ENTRIES)]
        return list(zip(answer[::2], answer[1::2], strict=True))

    async def _run(self, script: str, *arguments: str | int) -> Any:
        """Have Redis run a script. Raises `RegistryAway`."""
        client, is_stale = self._client, self._is_stale
        if client is None:
            raise RegistryAway("the registry is not connected")
        encoded = [each.encode("utf-8", "surrogatepass") if isinstance(each, str) else each for each in arguments]
        try:
            with trio.fail_after(ASK_SECONDS):
                return await client.register_script(_COMMON + script)([self._prefix], encoded)
        except trio.TooSlowError:
            is_stale.set()
            raise RegistryAway(f"no answer within {ASK_SECONDS:g} s") from None
        except FAILURES as error:
            raise RegistryAway(_reason(error)) from None
        except RuntimeError as error:  # another question found that the client got stuck, and closed it under this one
            if not is_stale.is_set():
                raise
            raise RegistryAway(_reason(error)) from None

    @property
    def _prefix(self) -> str:
        """With a hash tag, so that all of it is in one place of a Redis Cluster."""
        return f"mmids:{{{self._cluster}}}:"

    async def _keep_client(self, task_status: trio.TaskStatus[None]) -> None:
        """Have a client, and another where it got stuck."""
        is_started = False
        while True:
            self._is_stale = is_stale = trio.Event()
            self._is_listening = trio.Event()
            async with self._open_client() as client, trio.open_nursery() as nursery:
                self._client = client
                nursery.start_soon(self._listen, client)
                if not is_started:
                    task_status.started()
                is_started = True
                await is_stale.wait()
                self._client = None
                nursery.cancel_scope.cancel()

    async def _listen(self, client: "Redis[bytes]") -> None:
        while True:
            try:
                async with client.pubsub(channels=[f"{self._prefix}changes"], ignore_subscribe_messages=True) as told:
                    self._is_listening.set()
                    async for message in told:
                        self._take(message["data"])
            except* FAILURES as group:
                log.debug("no hints from the cluster's registry", reason=_reason(group.exceptions[0]))
            await trio.sleep(RENEW_SECONDS)

    def _take(self, data: object) -> None:
        kind, _, name = (data.decode("ascii", "replace") if isinstance(data, bytes) else "").partition("/")
        what = entries.stream_key(name) if kind == "stream" else entries.written_document_name(name)
        if what is not None and name:
            self._hints.tell(what)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _this_very(entry: StreamEntry) -> tuple[str, str, str]:
    return entries.stream_name(entry.key), str(entry.epoch), entries.owner_text(entry)


def _decoded(answer: object) -> str | None:
    return answer.decode("utf-8", "surrogatepass") if isinstance(answer, bytes) else None


def _stream(key: StreamKey, answer: object) -> StreamEntry | None:
    document = entries.document(_decoded(answer) or "")
    return None if document is None else entries.stream_entry(key, document.version, document.text)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
