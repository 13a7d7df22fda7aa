"""What goes wrong inside the server: an error with a traceback, whoever was served then; and who merely hangs up."""

from typing import Any

import pytest
import trio
from structlog.testing import LogCapture

from mmids_trio.http_api import connection

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def end_of(client: trio.SocketStream) -> bytes:
    try:
        return b"".join([bytes(piece) async for piece in client])
    except trio.BrokenResourceError:
        return b""
    finally:
        await client.aclose()


def errors(logs: LogCapture) -> list[Any]:
    return [line for line in logs.entries if line["log_level"] in ("error", "warning")]


async def test_a_fault_between_bytes_and_requests_is_an_error_with_all_tracebacks(
    served: Any, logs: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise KeyError("ours")

    with monkeypatch.context() as broken:
        broken.setattr(connection._Http1, "_create_stream", fail)
        assert await end_of(await served.connect(GET)) == b""
    [error] = errors(logs)
    assert error["event"] == "http connection failed"
    assert error["log_level"] == "error"
    [cause] = error["exc_info"].exceptions
    assert repr(cause) == "KeyError('ours')"
    assert cause.__traceback__ is not None
    client = await served.connect(GET)
    assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
    await client.aclose()


async def test_a_fault_of_the_operating_system_inside_a_request_is_not_taken_for_a_client_that_went(
    served: Any, logs: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise OSError("ours")

    monkeypatch.setattr(connection._Http1, "_create_stream", fail)
    assert await end_of(await served.connect(GET)) == b""
    assert [error["event"] for error in errors(logs)] == ["http connection failed"]


async def test_an_application_that_fails_is_an_error_with_a_traceback(serve_app: Any, logs: LogCapture) -> None:
    async def fail(*_: object) -> None:
        raise KeyError("ours")

    served = await serve_app(fail)
    assert (await end_of(await served.connect(GET))).startswith(b"HTTP/1.1 500 ")
    assert [(error["event"], error["exc_info"]) for error in errors(logs)] == [("http application failed", True)]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"hello\r\n\r\n",
        GET,
        GET * 50,
        b"PUT /workflows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nwork",
        b"PUT /workflows HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"PUT /workflows HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_client_that_is_gone_or_talks_nonsense_is_no_error(
    serve_app: Any, served: Any, logs: LogCapture, sent: bytes, how: str
) -> None:
    client = await served.connect(sent)
    if how == "reset":
        client.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await client.aclose()
    served.shutdown.set()
    await served.ended.wait()
    assert errors(logs) == []
