"""Requests for media: read whole, byte by byte and with others behind; refused where two readers could disagree."""

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.delivery.requests import MAX_FIELDS, MAX_HEAD, MAX_TARGET, BadRequest, Request, RequestReader

PLAIN = b"GET /live/key.flv?token=x HTTP/1.1\r\nHost: example.org\r\nUser-Agent: test 1.0\r\nRange:  bytes=0-1 \r\n\r\n"
WANTED = Request(
    "GET",
    "/live/key.flv",
    "token=x",
    {"host": "example.org", "user-agent": "test 1.0", "range": "bytes=0-1"},
)


def read(*pieces: bytes) -> list[Request]:
    reader, found = RequestReader(), list[Request]()
    for piece in pieces:
        reader.receive(piece)
        while (request := reader.next_request()) is not None:
            found.append(request)
    return found


def test_a_request_is_read_whole_byte_by_byte_and_with_another_one_behind_it() -> None:
    assert read(PLAIN) == [WANTED]
    assert read(*(PLAIN[at : at + 1] for at in range(len(PLAIN)))) == [WANTED]
    assert read(b"\r\n" + PLAIN + PLAIN + PLAIN[:-1]) == [WANTED, WANTED]


@given(st.lists(st.integers(0, len(PLAIN))))
def test_it_is_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(PLAIN)})
    assert read(*(PLAIN[start:stop] for start, stop in itertools.pairwise(places))) == [WANTED]


REST = b"HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive\r\n\r\n"
TARGETS = st.one_of(
    st.text('/ab.?#%&=:@"<>', max_size=12).map(lambda text: b"/" + text.encode()),
    st.text("/ab \t\0\x7f", max_size=6).map(lambda text: b"/" + text.encode()),
    st.binary(max_size=20),
    st.sampled_from([b"http://b/a", b"*", b"/" + b"a" * MAX_TARGET, b"/a?" + b"b" * (MAX_TARGET - 3)]),
)


@pytest.mark.parametrize("rest", [REST, REST + b"GET", REST[:-2], REST[4:]])
@pytest.mark.parametrize("method", [b"GET ", b"HEAD ", b"get "])
@given(target=TARGETS)
def test_what_is_read_at_once_is_what_would_be_read_step_by_step(target: bytes, method: bytes, rest: bytes) -> None:
    reader, data = RequestReader(), method + target + b" " + rest
    reader.receive(b"GET /first " + REST)
    assert reader.next_request() is not None
    at_once = reader.next_at_once(data)
    try:
        step_by_step = read(data)
    except BadRequest:
        step_by_step = []
    assert at_once is None or (rest == REST and [at_once] == step_by_step)  # and nothing behind it is lost


def test_what_players_ask_for_again_and_again_is_read_at_once() -> None:
    reader = RequestReader()
    reader.receive(b"GET /first " + REST)
    assert reader.next_request() is not None
    request = reader.next_at_once(b"GET /live/key/index.m3u8?session=a&_HLS_msn=3 " + REST)
    assert request is not None
    assert (request.path, request.query) == ("/live/key/index.m3u8", "session=a&_HLS_msn=3")
    assert reader.next_at_once(b"GET /other " + REST.replace(b"example", b"evil")) is None


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /\nHost: a\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n", 400),
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n", 400),
        (b"GET live HTTP/1.1\r\nHost: a\r\n", 400),
        (b"GET /a#b HTTP/1.1\r\nHost: a\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n", 505),
        (b"PRI * HTTP/2.0\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n", 400),
        (b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1\r\nHost: a\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * MAX_FIELDS, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * MAX_HEAD + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_with_a_status(head: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        read(head + b"\r\n")
    assert caught.value.status == status


def test_a_head_that_does_not_end_is_refused_before_it_takes_more() -> None:
    with pytest.raises(BadRequest) as caught:
        read(*[b"a" * 1000] * (MAX_HEAD // 1000 + 2))
    assert caught.value.status == 431


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/live/a%20b?x=1?2", "/live/a%20b", "x=1?2"),
        (b"http://example.org:8080/live/a?x", "/live/a", "x"),
        (b"https://example.org?x", "/", "x"),
    ],
)
def test_targets_are_paths_or_whole_addresses(target: bytes, path: str, query: str) -> None:
    [request] = read(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [(b"1.1", b"", True), (b"1.1", b"close", False), (b"1.0", b"", False), (b"1.0", b"Keep-Alive", True)],
)
def test_the_connection_goes_on_as_the_version_has_it(version: bytes, connection: bytes, keeps: bool) -> None:
    line = b"Connection: " + connection + b"\r\n" if connection else b""
    [request] = read(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + line + b"\r\n")
    assert request.keeps_alive is keeps


names = st.sampled_from([b"Host", b"X", b"Accept", b"Range", b"host", b"Content-Length"])
values = st.one_of(st.binary(max_size=6), st.sampled_from([b"0", b"a b", b"\tq ", b"bytes=0-"]))
lines = st.lists(st.tuples(names, values), max_size=4)


@given(st.sampled_from([b"GET", b"HEAD", b"PUT", b"G T"]), st.sampled_from([b"/", b"/a?b", b"*", b"a"]), lines)
def test_whatever_it_reads_another_reader_reads_the_same(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    """h11 is the other one. It may read more, as it takes bare line feeds, but never something else."""
    data = method + b" " + target + b" HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
    try:
        [request] = read(data)
    except BadRequest:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(data)
    event = other.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target.decode()) == (request.method, target.decode())
    theirs = dict[str, list[str]]()
    for name, value in event.headers:
        theirs.setdefault(name.decode(), []).append(value.decode("latin-1"))
    assert {name: ", ".join(found) for name, found in theirs.items()} == request.headers
