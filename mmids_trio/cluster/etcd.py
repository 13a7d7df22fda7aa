"""A registry in etcd, by the HTTP gateway of its API v3, so that nothing but an HTTP client is needed.

A stream's entry has a lease of its own, and its epoch is the revision of the store at which it was made, which etcd
never gives twice.  To that comes an offset, kept beside the entries: at first the time in milliseconds, and raised by
whoever has seen a higher epoch, so that an etcd that was set up anew does not start again.  An entry that gives way to
another node's is written over and keeps the revision at which it was made, for which an offset of its own makes up.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from secrets import token_hex
from time import time
from typing import Any
from urllib.parse import urlsplit

import httpx2
import structlog
import trio
from attrs import define, evolve, field, frozen

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
from mmids_trio.reactors.body import bounded_body

log = structlog.get_logger()

DEFAULT_PORT = 2379

LARGEST_ANSWER = 32_000_000
"""Bytes: `MOST_ENTRIES` in base64, and as JSON."""

LONGEST_HINT = 1_000_000
"""Bytes of one line of a watch: some thousands of changes that were made at once."""


def etcd_urls(url: str) -> Sequence[str]:
    """Where the members of `etcd://HOST:PORT,…` answer, as the configuration has checked it."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "etcds" else "http"
    members = [urlsplit(f"//{host}") for host in parts.netloc.split(",")]
    return [f"{scheme}://{_in_url(each.hostname or '')}:{each.port or DEFAULT_PORT}" for each in members]


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@frozen
class _Value:
    """A key of etcd's."""

    name: str
    text: str
    created: int
    changed: int
    version: int
    lease: int


@frozen
class _Seen:
    """What a claim has found: the entry, and what epochs begin at."""

    entry: _Value | None
    offset: _Value | None
    revision: int


@define(eq=False)
class EtcdDirectory:
    """See `Directory`. `cluster` names what is ours in a store that others may use, too."""

    _cluster: str
    _members: Sequence[str]
    _now: Callable[[], float] = time
    _hints: Hints = field(factory=Hints, init=False)
    _client: httpx2.AsyncClient | None = field(default=None, init=False)
    _turn: int = field(default=0, init=False)
    """Which member is asked; another where it does not answer."""
    _node_lease: int = field(default=0, init=False)
    _is_watching: trio.Event = field(factory=trio.Event, init=False)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """See `Directory`."""
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=None, follow_redirects=False) as client,
            trio.open_nursery() as nursery,
        ):
            self._client = client
            nursery.start_soon(self._watch)
            yield
            nursery.cancel_scope.cancel()

    async def claim(self, wanted: StreamEntry) -> StreamEntry:
        """See `Directory`."""
        with _in_time():
            name = self._stream(wanted.key)
            while True:
                seen = await self._look(name)
                present = None if seen.entry is None else _entry(wanted.key, seen.entry)
                if seen.entry is not None and present is None:
                    raise RegistryAway(f"what the registry has for '{wanted.key}' is no entry")
                if seen.entry is None or present is None:
                    entry = await self._make(wanted, name, seen)
                elif present.owner == wanted.owner:
                    entry = await self._keep(present, seen.entry, wanted.turn)
                elif present.is_interrupted and not wanted.is_interrupted:
                    entry = await self._make(wanted, name, seen)
                else:
                    return present
                if entry is not None:
                    return entry

    async def renew(self, held: StreamEntry) -> StreamEntry | None:
        """See `Directory`."""
        with _in_time():
            while True:
                value = await self._get(self._stream(held.key))
                entry = None if value is None else _entry(held.key, value)
                if value is None or entry is None or not entry.is_of(held):
                    return entry
                kept = await self._keep(entry, value, held.turn)
                if kept is not None:
                    return kept

    async def release(self, held: StreamEntry) -> None:
        """See `Directory`."""
        with _in_time():
            value = await self._get(self._stream(held.key))
            entry = None if value is None else _entry(held.key, value)
            if value is not None and entry is not None and entry.is_of(held):
                await self._revoke(value.lease)  # the entry's alone

    async def look_up(self, key: StreamKey) -> StreamEntry | None:
        """See `Directory`."""
        with _in_time():
            value = await self._get(self._stream(key))
            return None if value is None else _entry(key, value)

    async def streams(self) -> Sequence[StreamEntry]:
        """See `Directory`."""
        with _in_time():
            found = [(entries.stream_key(value.name), value) for value in await self._all("stream/")]
            read = [_entry(key, value) for key, value in found if key is not None]
            return [entry for entry in read if entry is not None]

    async def announce(self, node: NodeEntry) -> None:
        """See `Directory`."""
        with _in_time():
            if not self._node_lease or not await self._keep_alive(self._node_lease):
                self._node_lease = await self._grant(NODE_TTL_SECONDS)
            await self._put(self._node(node.owner), entries.node_text(node), self._node_lease)

    async def leave(self, owner: Incarnation) -> None:
        """See `Directory`."""
        with _in_time():
            await self._ask("/v3/kv/deleterange", {"key": _coded(self._node(owner))})

    async def nodes(self) -> Sequence[NodeEntry]:
        """See `Directory`."""
        with _in_time():
            read = [entries.node_entry(value.text) for value in await self._all("node/")]
            return [entry for entry in read if entry is not None]

    async def generation(self) -> str:
        """See `Directory`."""
        with _in_time():
            name, drawn = self._name("generation"), token_hex(8)
            answer = await self._transact([_compare(name, "CREATE", 0)], [_put(name, drawn)], [_range(name)])
            if answer.get("succeeded"):
                return drawn
            return _values(answer["responses"][0]["response_range"], "")[0].text

    async def read(self, name: str) -> Document | None:
        """See `Directory`."""
        with _in_time():
            value = await self._get(self._document(name))
            return None if value is None else Document(value.text, value.version)

    async def write(self, name: str, text: str, expected: int | None, ttl_s: float | None = None) -> Document | None:
        """See `Directory`."""
        entries.check_size(text)
        with _in_time():
            stored = self._document(name)
            lease = 0 if ttl_s is None else await self._grant(ttl_s)
            compares = [] if expected is None else [_compare(stored, "VERSION", expected)]
            written = await self._transact(compares, [_put(stored, text, lease), _range(stored)], [])
            if not written.get("succeeded"):
                if lease:
                    await self._revoke(lease)
                return None
            [value] = _values(written["responses"][1]["response_range"], "")
            return Document(text, value.version)

    async def documents(self, prefix: str) -> Sequence[tuple[str, Document]]:
        """See `Directory`."""
        with _in_time():
            start = f"document/{entries.document_name(prefix)}"
            found = await self._all(start, "document/")
            return [(entries.written_document_name(value.name), Document(value.text, value.version)) for value in found]

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncGenerator[StreamKey | str, None]]:
        """See `Directory`. A watch that breaks comes back, without what was missed meanwhile."""
        async with self._hints.listening() as changes:
            with trio.move_on_after(ASK_SECONDS):
                await self._is_watching.wait()
            yield changes

    async def _look(self, name: str) -> _Seen:
        answer = await self._transact([], [_range(name), _range(self._name("epochs"))], [])
        [entry, offset] = [_values(each["response_range"], "") for each in answer["responses"]]
        return _Seen(entry[0] if entry else None, offset[0] if offset else None, int(answer["header"]["revision"]))

    async def _keep(self, present: StreamEntry, value: _Value, turn: int) -> StreamEntry | None:
        """Keep an entry for as long again, and have it show a later turn; `None` where something has changed since."""
        if turn > present.turn:
            present = evolve(present, turn=turn)
            name = self._stream(present.key)
            put = _put(name, _numbered(present.epoch - value.created, present), value.lease)
            if not (await self._transact([_compare(name, "MOD", value.changed)], [put], [])).get("succeeded"):
                return None
        return present if await self._keep_alive(value.lease) else None

    async def _make(self, wanted: StreamEntry, name: str, seen: _Seen) -> StreamEntry | None:
        """Make the entry, in place of what was seen; `None` where something has changed since."""
        offset = round(self._now() * 1000) if seen.offset is None else int(seen.offset.text)
        offset = max(offset, wanted.epoch - seen.revision)
        # What is written over was made at an earlier revision: the next one stands in for that of this transaction.
        own_offset = offset if seen.entry is None else offset + seen.revision + 1 - seen.entry.created
        epochs = self._name("epochs")
        lease = await self._grant(STREAM_TTL_SECONDS)
        compares = [
            _compare(name, "MOD", 0 if seen.entry is None else seen.entry.changed),
            _compare(epochs, "MOD", 0 if seen.offset is None else seen.offset.changed),
        ]
        puts = [_put(name, _numbered(own_offset, wanted), lease)]
        if seen.offset is None or str(offset) != seen.offset.text:
            puts.append(_put(epochs, str(offset)))
        answer = await self._transact(compares, puts, [])
        if answer.get("succeeded"):
            created = int(answer["header"]["revision"]) if seen.entry is None else seen.entry.created
            return evolve(wanted, epoch=own_offset + created)
        await self._revoke(lease)
        return None

    async def _get(self, name: str) -> _Value | None:
        values = _values(await self._ask("/v3/kv/range", _range(name)["request_range"]), "")
        return values[0] if values else None

    async def _all(self, begin: str, cut: str | None = None) -> Sequence[_Value]:
        """All below a name; `cut` of it is left out of theirs."""
        first = self._name(begin)
        answer = await self._ask("/v3/kv/range", {**_below(first), "limit": entries.MOST_ENTRIES})
        if answer.get("more"):
            raise RegistryAway(f"more than {entries.MOST_ENTRIES} entries")
        return _values(answer, self._name(begin if cut is None else cut))

    async def _put(self, name: str, text: str, lease: int) -> None:
        await self._ask("/v3/kv/put", _put(name, text, lease)["request_put"])

    async def _grant(self, seconds: float) -> int:
        return int((await self._ask("/v3/lease/grant", {"TTL": max(1, round(seconds))}))["ID"])

    async def _keep_alive(self, lease: int) -> bool:
        answer = await self._ask("/v3/lease/keepalive", {"ID": lease})
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    async def _revoke(self, lease: int) -> None:
        await self._ask("/v3/lease/revoke", {"ID": lease}, may_be_missing=True)

    async def _transact(
        self, compares: Sequence[object], then: Sequence[object], otherwise: Sequence[object]
    ) -> dict[str, Any]:
        return await self._ask("/v3/kv/txn", {"compare": compares, "success": then, "failure": otherwise})

    async def _ask(self, path: str, question: Mapping[str, Any], *, may_be_missing: bool = False) -> dict[str, Any]:
        """One request. Raises `RegistryAway`; the next one goes to another member then."""
        assert self._client is not None, "not connected"
        try:
            async with self._client.stream("POST", self._url(path), json=question) as response:
                body = await bounded_body(response, LARGEST_ANSWER)
        except (httpx2.HTTPError, OSError) as error:
            self._turn += 1
            raise RegistryAway(f"{type(error).__name__}: {error}") from None
        if response.status_code == httpx2.codes.NOT_FOUND and may_be_missing:
            return {}
        answer = _json(body)
        if response.status_code != httpx2.codes.OK or answer is None:
            self._turn += 1
            raise RegistryAway(f"etcd answered with status {response.status_code}")
        return answer

    def _url(self, path: str) -> str:
        return self._members[self._turn % len(self._members)] + path

    async def _watch(self) -> None:
        while True:
            try:
                await self._listen()
            except (httpx2.HTTPError, OSError, RegistryAway) as error:
                log.debug("no hints from the cluster's registry", reason=f"{type(error).__name__}: {error}")
            self._is_watching = trio.Event()
            await trio.sleep(RENEW_SECONDS)

    async def _listen(self) -> None:
        assert self._client is not None
        watches = [
            {"create_request": {**_below(self._name(begin)), "watch_id": number}}
            for number, begin in zip(count(1), ("stream/", "document/"), strict=False)
        ]
        content = "\n".join(json.dumps(watch) for watch in watches)
        async with self._client.stream("POST", self._url("/v3/watch"), content=content) as response:
            pending = b""
            async for piece in response.aiter_raw():
                *lines, pending = (pending + piece).split(b"\n")
                if len(pending) > LONGEST_HINT:
                    raise RegistryAway("a hint without an end")
                for line in lines:
                    self._take(_json(line) or {})

    def _take(self, line: Mapping[str, Any]) -> None:
        self._is_watching.set()
        for event in line.get("result", {}).get("events", ()):
            name = _decoded(event.get("kv", {}).get("key", "")).removeprefix(self._name(""))
            kind, _, name = name.partition("/")
            what = entries.stream_key(name) if kind == "stream" else entries.written_document_name(name)
            if what is not None and name:
                self._hints.tell(what)

    def _name(self, name: str) -> str:
        return f"mmids/{self._cluster}/{name}"

    def _stream(self, key: StreamKey) -> str:
        return self._name(f"stream/{entries.stream_name(key)}")

    def _node(self, owner: Incarnation) -> str:
        return self._name(f"node/{entries.node_name(owner)}")

    def _document(self, name: str) -> str:
        return self._name(f"document/{entries.document_name(name)}")


@contextmanager
def _in_time() -> Iterator[None]:
    """`ASK_SECONDS` for all requests of one question. Raises `RegistryAway` after that, and for odd answers."""
    try:
        with trio.fail_after(ASK_SECONDS):
            yield
    except trio.TooSlowError:
        raise RegistryAway(f"no answer within {ASK_SECONDS:g} s") from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RegistryAway(f"etcd answered what it should not: {type(error).__name__}") from None


def _coded(text: str) -> str:
    return b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def _decoded(text: str) -> str:
    return b64decode(text).decode("utf-8", "surrogatepass")


def _json(body: bytes | None) -> dict[str, Any] | None:
    try:
        read = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _range(name: str) -> dict[str, Any]:
    return {"request_range": {"key": _coded(name)}}


def _put(name: str, text: str, lease: int = 0) -> dict[str, Any]:
    return {"request_put": {"key": _coded(name), "value": _coded(text), "lease": lease}}


def _compare(name: str, target: str, value: int) -> dict[str, Any]:
    field_name = {"CREATE": "create_revision", "MOD": "mod_revision", "VERSION": "version"}[target]
    return {"key": _coded(name), "target": target, "result": "EQUAL", field_name: value}


def _below(begin: str) -> dict[str, str]:
    """The range of all names that begin so; names are ASCII."""
    return {"key": _coded(begin), "range_end": _coded(begin[:-1] + chr(ord(begin[-1]) + 1))}


def _values(answer: Mapping[str, Any], cut: str) -> list[_Value]:
    return [
        _Value(
            _decoded(kv["key"]).removeprefix(cut),
            _decoded(kv.get("value", "")),
            int(kv["create_revision"]),
            int(kv["mod_revision"]),
            int(kv["version"]),
            int(kv.get("lease", 0)),
        )
        for kv in answer.get("kvs", ())
    ]


def _numbered(offset: int, entry: StreamEntry) -> str:
    return entries.numbered(offset, entries.stream_text(entry))


def _entry(key: StreamKey, value: _Value) -> StreamEntry | None:
    read = entries.document(value.text)  # the offset stands where others have a version
    return None if read is None else entries.stream_entry(key, read.version + value.created, read.text)
