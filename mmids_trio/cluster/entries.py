"""Entries of a registry as texts: what Redis and etcd keep, and back. Pure.

Names become ASCII without a slash or anything that a registry gives a meaning; a text that does not read back is
nobody's entry, as others may write into a registry, too.
"""

import json
from typing import Any
from urllib.parse import quote, unquote

from mmids_trio.cluster.directory import Document, Incarnation, NodeEntry, StreamEntry, StreamKey

LARGEST_DOCUMENT = 1_000_000
"""Characters: as much configuration as a server takes, and what etcd takes in one request (1.5 MB)."""

MOST_ENTRIES = 50_000
"""Of one kind, in one answer: ten times what the largest cluster that was simulated has."""


def stream_name(key: StreamKey) -> str:
    """`APP/KEY`, with both quoted."""
    return f"{_quoted(key.app)}/{_quoted(key.key)}"


def stream_key(name: str) -> StreamKey | None:
    """The key of such a name."""
    app, slash, key = name.partition("/")
    return StreamKey(_unquoted(app), _unquoted(key)) if slash else None


def node_name(owner: Incarnation) -> str:
    """`NODE/INCARNATION`."""
    return f"{_quoted(owner.node)}/{_quoted(owner.number)}"


def document_name(name: str) -> str:
    """A document's name, quoted but for its slashes; what begins alike still does."""
    return quote(name, safe="/", errors="surrogatepass")


def written_document_name(name: str) -> str:
    """And back."""
    return _unquoted(name)


def owner_text(entry: StreamEntry) -> str:
    """Who has a stream, and where; always the same for the same."""
    return json.dumps([entry.owner.node, entry.owner.number, entry.address])


def stream_text(entry: StreamEntry) -> str:
    """All but its key and epoch."""
    return numbered(entry.turn, owner_text(entry))


def stream_entry(key: StreamKey, epoch: int, text: str) -> StreamEntry | None:
    """A stream's entry, if it is one."""
    turn = document(text)
    if turn is None:
        return None
    match _json(turn.text):
        case [str(node), str(number), str(address)]:
            return StreamEntry(key, Incarnation(node, number), epoch, address, turn.version)
    return None


def node_text(entry: NodeEntry) -> str:
    """A node's entry."""
    return json.dumps([entry.owner.node, entry.owner.number, entry.address, entry.is_draining, entry.revision])


def node_entry(text: str) -> NodeEntry | None:
    """A node's entry, if it is one."""
    match _json(text):
        case [str(node), str(number), str(address), bool(is_draining), int(revision)]:
            return NodeEntry(Incarnation(node, number), address, is_draining, revision)
    return None


def numbered(number: int, text: str) -> str:
    """A text with its epoch, turn or version before it."""
    return f"{number} {text}"


def document(numbered_text: str) -> Document | None:
    """A text with its version before it, if it is one."""
    number, space, text = numbered_text.partition(" ")
    return Document(text, int(number)) if space and number.isdecimal() and number.isascii() else None


def check_size(text: str) -> None:
    """Raises `ValueError` for a document that no registry is given."""
    if len(text) > LARGEST_DOCUMENT:
        raise ValueError(f"a document of {len(text)} characters; a cluster keeps {LARGEST_DOCUMENT} at most")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogatepass")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
