"""Server-sent events as bytes (WHATWG HTML §9.2.5 and §9.2.6): rendering alone, without sockets and clocks."""

RETRY_MILLISECONDS = 2000
"""When a client that has lost the stream should ask again; a server restarts in less."""


def render_event(event_type: str, data: str, event_id: str | None = None) -> bytes:
    """One event. Line ends of `data` separate its lines, whatever they are; type and id must have none."""
    head = "" if event_id is None else f"id: {_single_line(event_id)}\n"
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(
        [head, f"event: {_single_line(event_type)}\n", *(f"data: {line}\n" for line in lines), "\n"]
    ).encode()


def render_start(event_id: str) -> bytes:
    """How a stream begins: when to come again after a loss, and the id to come again with before any event."""
    return f"retry: {RETRY_MILLISECONDS}\nid: {_single_line(event_id)}\n\n".encode()


def render_heartbeat(event_id: str) -> bytes:
    """A comment, so that both ends see that the other is there, with the id of the newest event."""
    return f": heartbeat\nid: {_single_line(event_id)}\n\n".encode()


def _single_line(value: str) -> str:
    if any(character in value for character in "\r\n\0"):
        raise ValueError(f"expected one line without NUL, found {value!r}")
    return value
