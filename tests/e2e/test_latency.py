"""How far behind its publisher a viewer in Chromium is: a clock stands in the pictures, and the page's are read.

Each picture is 16 bars, which are the bits of its number; when it was sent, the publisher knows.  So what is measured
is the server, the network of this machine and the player, without an encoder.  The figure is reported; what is asserted
is in parts and segments, as a busy machine is late.
"""

import subprocess
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import pytest
import trio

from mmids_trio.media.events import MediaPacket
from mmids_trio.net.tls import NetworkDialer
from mmids_trio.net.transport import SocketNetwork
from mmids_trio.testing.clients import RtmpClient
from tests.delivery.test_hls_listener import send_live
from tests.e2e.test_browsers import Open, open_browser, workflow  # noqa: F401  (a fixture)
from tests.e2e.test_fmp4 import packets
from tests.support.browsers import Browser, browser
from tests.support.program import Launch

pytestmark = pytest.mark.e2e

RATE, SEGMENT_MS, PART_MS = 25, 2_000, 200
SECONDS = 90
BARS, BAR_WIDTH = 16, 10
MOST_SHOWN = 50
"""Pictures, the last ones, that a figure is of."""

SETTLE_SECONDS = 40

BITS = f"geq=lum='if(mod(floor(N/pow(2,floor(X/{BAR_WIDTH}))),2),235,16)':cb=128:cr=128"
SOURCE = ("-f", "lavfi", "-i", f"color=size={BARS * BAR_WIDTH}x90:rate={RATE},{BITS}", "-f", "lavfi", "-i", "sine")
ENCODED = (
    *("-t", str(SECONDS), "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(RATE)),
    *("-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv"),
)

READ = f"""(() => {{
  const video = document.querySelector("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [{BARS * BAR_WIDTH}, 90];
  const context = canvas.getContext("2d", {{ willReadFrequently: true }});
  window.shown = [];
  const look = () => {{
    const at = Date.now();
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const row = context.getImageData(0, 45, canvas.width, 1).data;
    let number = 0;
    for (let bar = 0; bar < {BARS}; bar++) {{
      number += row[4 * (bar * {BAR_WIDTH} + {BAR_WIDTH // 2})] > 127 ? 2 ** bar : 0;
    }}
    shown.push([number, at]);
    if (shown.length > {MOST_SHOWN}) shown.shift();
    video.requestVideoFrameCallback(look);
  }};
  video.requestVideoFrameCallback(look);
  return true;
}})()"""
"""Has the page note the number of each picture that it shows, and the time."""


def latencies_ms(shown: Sequence[tuple[int, float]], began_ms: float) -> list[float]:
    """How long ago each was sent when it was shown."""
    return [at - (began_ms + 1000 * number / RATE) for number, at in shown]


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> list[MediaPacket]:
    """The packets of a stream whose pictures are numbered."""
    path = tmp_path_factory.mktemp("clock") / "clock.flv"
    subprocess.run(["ffmpeg", "-v", "error", "-y", *SOURCE, *ENCODED, str(path)], check=True, timeout=120)
    return list(packets(path))


async def settle(viewer: Browser, began_ms: float, most_ms: float) -> tuple[list[float], list[float]]:
    """How late pictures were when they were late enough, or for too long; a player that begins far behind comes
    nearer. And again a moment later."""
    seen: list[float] = []
    with trio.move_on_after(SETTLE_SECONDS):
        while len(seen) < MOST_SHOWN or median(seen) > most_ms:
            await trio.sleep(1)
            seen = latencies_ms(await viewer.evaluate("shown"), began_ms)
    await trio.sleep(1)
    return seen, latencies_ms(await viewer.evaluate("shown"), began_ms)


@browser("chromium")
@pytest.mark.parametrize(("way", "most_ms"), [("hls", 1.5 * SEGMENT_MS), ("flv", SEGMENT_MS)])
async def test_a_viewer_is_less_than_some_segments_behind(  # noqa: PLR0917
    launch: Launch,
    clock: list[MediaPacket],
    free_port: int,
    open_browser: Open,  # noqa: F811
    nursery: trio.Nursery,
    record_property: Any,
    way: str,
    most_ms: float,
) -> None:
    program = await launch(workflow(free_port))
    address = program.url()
    host, _, port = address.removeprefix("rtmp://").partition("/")[0].partition(":")
    transport = await NetworkDialer(SocketNetwork()).dial(host, int(port), tls=False)
    publisher = await RtmpClient.connected(transport, "live")
    await publisher.publish("show")
    viewer = await open_browser("chromium")
    await viewer.go(f"http://127.0.0.1:{free_port}/live/show?via={way}")
    began_ms = time.time() * 1000 - clock[0].timestamp
    try:
        nursery.start_soon(send_live, publisher, clock)
        await viewer.plays(30)
        await viewer.evaluate(READ)
        seen, settled = await settle(viewer, began_ms, most_ms)
    finally:
        nursery.cancel_scope.cancel()
        publisher.close()
    behind = median(settled)
    figure = f"{way}: {behind:.0f} ms behind ({behind / PART_MS:.1f} parts), from {len(settled)} pictures"
    record_property("latency", figure)
    print(figure)
    assert median(seen) <= most_ms, figure
    assert min(settled) > 0, figure


def test_the_number_of_a_picture_says_how_late_it_is() -> None:
    assert latencies_ms([(0, 1_500), (25, 2_300)], 1_000) == [500, 300]
