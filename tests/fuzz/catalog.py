"""The targets by name, and what each is fed with: what real programs made, and what once broke something.

A target is a module with `fuzz_one(data)`, which asserts its invariant, and with `CALLS` and `CALLS_PER_BYTE`, the
bound on what an input may cost.  Seeds are made of recordings and examples that the tests have anyway; what fuzzing
found is in corpus/TARGET/, what nobody sends in handmade.py.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from attrs import frozen

from mmids_trio.errors import ConfigurationError
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.message import COMMAND_AMF0, DATA_AMF0, Message
from tests.fuzz.cost import calls_of
from tests.fuzz.handmade import HANDMADE
from tests.fuzz.targets.handshake import LENGTH

HERE = Path(__file__).parent
TESTS = HERE.parent
CORPUS = HERE / "corpus"
SESSIONS = TESTS / "rtmp" / "protocol" / "sessions"
SERVERS = CORPUS / "servers"
"""What real servers sent to a `ClientConnection`; its README says which."""
CLIENTS = CORPUS / "clients"
"""The same of clients that the sessions lack."""
FILES = CORPUS / "files"
"""The first seconds of files of real muxers."""

PLAYS, SHAKEN_HANDS = 1, 2


@frozen
class Target:
    """One thing to fuzz. `calls` and `calls_per_byte` bound the cost of an input."""

    name: str
    fuzz_one: Callable[[bytes], None]
    calls: int
    calls_per_byte: int
    dictionary: tuple[bytes, ...]
    """Words that inputs are likely to hold."""

    def check(self, data: bytes) -> None:
        """Run one input, and bound what it costs."""
        cost, most = calls_of(self.fuzz_one, data), self.calls + self.calls_per_byte * len(data)
        assert cost <= most, f"{len(data)} bytes cost {cost} calls, at most {most} were expected"


def target(name: str) -> Target:
    """The target of that name. Raises `KeyError` when there is none."""
    if name not in NAMES:
        raise KeyError(f"there is no target {name!r}; there are: {', '.join(NAMES)}")
    module = import_module(f"tests.fuzz.targets.{name}")
    return Target(name, module.fuzz_one, module.CALLS, module.CALLS_PER_BYTE, DICTIONARIES.get(name, ()))


def found(name: str) -> list[Path]:
    """Inputs that once broke a target, and others that are worth keeping."""
    return sorted((CORPUS / name).glob("*"))


def seeds(name: str) -> list[bytes]:
    """What to begin with, recordings first."""
    return [*SEEDS[name](), *HANDMADE[name], *(path.read_bytes() for path in found(name))]


def _recordings(directory: Path, pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(directory.glob(pattern))]


def _sessions() -> list[bytes]:
    return _recordings(SESSIONS, "*.bin") + _recordings(CLIENTS, "*.bin")


def _servers() -> list[bytes]:
    return _recordings(SERVERS, "*.bin")


def _said() -> Iterator[Message]:
    """Every message in every recording, of clients and of servers."""
    for recording in _sessions() + _servers():
        yield from ChunkReader().read_messages(recording[LENGTH:])


def _amf0() -> list[bytes]:
    payloads = dict.fromkeys(one.payload for one in _said() if one.type_id in (COMMAND_AMF0, DATA_AMF0))
    return list(payloads)


def _chunks() -> list[bytes]:
    return [size + one[LENGTH:] for one in _sessions() + _servers() for size in (b"\0", b"\x61")]


def _handshakes() -> list[bytes]:
    clients = [b"\0\x7f" + one[: LENGTH + 20] for one in _sessions()]
    return clients + [b"\1\0" + one[: LENGTH + 20] for one in _servers()]


def _server_sessions() -> list[bytes]:
    whole = [bytes((0, 201)) + one for one in _sessions()]
    later = [bytes((1 | owner << 3, 0)) + one[LENGTH:] for one in _sessions() for owner in (0, 1, 2)]
    return whole + later + [b"\x05\0" + _as_records(one[LENGTH:], 4) for one in _sessions()]


def _client_sessions() -> list[bytes]:
    whole = [bytes((plays, 97)) + one for one in _servers() for plays in (0, PLAYS)]
    later = [bytes((SHAKEN_HANDS | plays, 0)) + one[LENGTH:] for one in _servers() for plays in (0, PLAYS)]
    return whole + later + [b"\x07\0" + _as_records(one[LENGTH:], 2) for one in _servers()]


def _as_records(wire: bytes, head: int) -> bytes:
    """The messages of a recording in the form of `reading.records`."""
    parts = []
    for one in ChunkReader().read_messages(wire):
        start = bytes((one.type_id, one.stream_id & 3)) + (one.timestamp >> 16).to_bytes(2, "big")
        parts.append(start[:head] + len(one.payload[:0xFFFF]).to_bytes(2, "big") + one.payload[:0xFFFF])
    return b"".join(parts)


def _configurations() -> list[bytes]:
    return _recordings(TESTS.parent / "examples", "*.mmids") + _recordings(TESTS / "config" / "samples", "*.mmids")


def _states() -> list[bytes]:
    # Here, so that a target instruments nothing but what it fuzzes.
    from mmids_trio.config.parser import parse_workflows  # noqa: PLC0415
    from mmids_trio.state.record import State, StateEntry  # noqa: PLC0415
    from mmids_trio.state.text import write  # noqa: PLC0415

    made = []
    for text in _configurations():
        body = text.decode().partition("workflow ")
        try:
            workflows = parse_workflows("".join(body[1:]), "seed")
        except ConfigurationError:
            continue
        entries = {one.name: StateEntry(one.name, one, one.digest) for one in workflows}
        gone = [StateEntry("gone", None, one.digest) for one in workflows[:1]]
        made.append(b"\0" + write(State(entries | {one.name: one for one in gone})).data)
    return made


SEEDS: Mapping[str, Callable[[], list[bytes]]] = {
    "amf0": _amf0,
    "chunks": _chunks,
    "flv": lambda: [size + file for file in _recordings(FILES, "*.flv") for size in (b"\0", b"\x65")],
    "handshake": _handshakes,
    "configuration": _configurations,
    "proxy_header": lambda: [b"\0PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n"],
    "tape": lambda: [b"\0mmtape 1\n"],
    "server_session": _server_sessions,
    "client_session": _client_sessions,
    "state_file": _states,
}
NAMES = tuple(SEEDS)

_COMMANDS = (
    *(b"connect", b"createStream", b"publish", b"play", b"play2", b"closeStream", b"deleteStream", b"FCPublish"),
    *(b"FCUnpublish", b"FCSubscribe", b"releaseStream", b"getStreamLength", b"pause", b"seek", b"receiveAudio"),
    *(b"receiveVideo", b"onStatus", b"_result", b"_error", b"@setDataFrame", b"onMetaData", b"live", b"app", b"tcUrl"),
    *(b"code", b"level", b"NetStream.Publish.Start", b"NetStream.Play.Start", b"NetConnection.Connect.Success"),
)
_WORDS = (
    *(b"settings {\n", b"workflow ", b"reactor ", b"rtmp_receive", b"rtmp_watch", b"executor=", b"update_interval="),
    *(b"routed_by_reactor", b"http_api_port ", b"tls_cert_path ", b'"', b"\\", b"{\n", b"}\n", b"\r\n", b"# "),
)
DICTIONARIES: Mapping[str, tuple[bytes, ...]] = {
    "amf0": (*_COMMANDS, b"\0\0\x09", b"\x07\0\0", b"\x08\0\0\0\0"),
    "server_session": _COMMANDS,
    "client_session": _COMMANDS,
    "configuration": _WORDS,
    "state_file": (*_WORDS, b"# mmids-state ", b"version 1\n", b"changed ", b"deleted ", b"reactors ", b"end edited"),
}
