"""The body of an answer of a web service, as far as somebody wants to read."""

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import httpx2


async def bounded_body(response: "httpx2.Response", most: int) -> bytes | None:
    """The body as it was sent; `None` where it has more than `most` bytes.

    Unpacking what was not asked for could fill the memory.
    """
    body = bytearray()
    with trio.CancelScope() as reading:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > most:
                reading.cancel()  # leaving the loop would leave generators behind that nobody closes
    return None if len(body) > most else bytes(body)
