"""What the program says when it has started: where to publish, where to watch, and how to try it."""

from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.steps.rtmp_parameters import RTMP_PORT, RTMPS_PORT

TRY_IT = (
    "ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=frequency=440 "
    "-c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac -f flv {url}"
)
"""A publisher that needs no file."""

MAX_LINES = 20
"""Addresses that are printed; who runs more workflows asks the API."""

ANY = "KEY"
"""What stands for any stream key in an address."""


QUERIES = {"publish_token": "?token=TOKEN", "play_key": "?expires=TIME&token=SIGNATURE"}
"""What has to be added to an address, by the parameter that asks for it."""


@frozen
class Address:
    """One address that a workflow serves."""

    workflow: str
    verb: str
    url: str


def addresses(
    workflows: Sequence[WorkflowDefinition], host: str, bound_port: Callable[[int], int | None]
) -> Iterator[Address]:
    """All addresses to publish to and to watch, in order.

    `bound_port` says which port is really open for one in a definition, if any is.
    """
    verbs = {"rtmp_receive": "publish", "rtmp_watch": "watch"}
    for workflow in workflows:
        for step in workflow.steps:
            if step.step_type in verbs:
                port = bound_port(_port(step))
                if port is not None:
                    yield Address(workflow.name, verbs[step.step_type], _url(step, host, port))


def welcome(lines: Sequence[Address], api: str | None) -> str:
    """The text to print."""
    text = [f"  {line.verb:<8} {line.url:<42} workflow {line.workflow}" for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        text.append(f"  ... and {len(lines) - MAX_LINES} more addresses")
    if api is not None:
        text.append(f"  HTTP API {api}")
    publish = next((line.url for line in lines if line.verb == "publish"), None)
    if publish is not None:
        text += ["", "Try it:", f"  {TRY_IT.format(url=publish.replace(ANY, 'test'))}"]
        watch = next((line.url for line in lines if line.verb == "watch"), None)
        if watch is not None:
            text.append(f"  ffplay {watch.replace(ANY, 'test')}")
    return "\n".join(text)


def _port(step: StepDefinition) -> int:
    port = step.parameters.get("port")
    if port is not None:
        return int(port)
    return RTMPS_PORT if "rtmps" in step.parameters else RTMP_PORT


def _url(step: StepDefinition, host: str, port: int) -> str:
    scheme = "rtmps" if "rtmps" in step.parameters else "rtmp"
    default = RTMPS_PORT if scheme == "rtmps" else RTMP_PORT
    place = host if port == default else f"{host}:{port}"
    key = step.parameters["stream_key"]
    query = next((query for name, query in QUERIES.items() if name in step.parameters), "")
    return f"{scheme}://{place}/{step.parameters['rtmp_app']}/{ANY if key == '*' else key}{query}"
