"""What the program prints when it has started: where to publish and to watch, and how to try it.

All of it is for whoever reads the terminal: addresses as they and others reach them, ready for a shell, and a word
where the door is open to everybody.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from shlex import quote
from urllib.parse import quote as encoded

from attrs import frozen

from mmids_trio.config.settings import host_from_here, is_loopback
from mmids_trio.definitions import ParameterValue, Resolved, StepDefinition, WorkflowDefinition
from mmids_trio.steps.rtmp_parameters import RTMP_PORT, RTMPS_PORT, http_port_of, port_of

TRY_IT = (
    "ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=frequency=440 "
    "-c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac -f flv {url}"
)
"""A publisher that needs no file."""

MAX_LINES = 20
"""Addresses that are printed; who runs more workflows asks the API."""

MAX_NAMES = 3
"""Workflows that one line names."""

ANY, TRIED = "KEY", "test"
"""What stands for any stream key in an address, and the one that is tried."""

QUERIES = {"publish_token": "?token=TOKEN", "play_key": "?expires=TIME&token=SIGNATURE"}
"""What has to be added to an address, by the parameter that asks for it."""

DOORS = ("publish_token", "allow_ips", "reactor")
"""Parameters of `rtmp_receive` that keep strangers out."""

THIS_MACHINE = "127.0.0.1"

ELSEWHERE = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737). Nothing is sent to it: the system only says from where it would."""


@frozen
class Address:
    """One address that a workflow serves; `tried` is the same with a key in it."""

    workflow: str
    verb: str
    url: str
    tried: str


@frozen
class Reach:
    """Where the ports of RTMP are: `host` for who sits at this machine, `others` for all else, where that differs."""

    host: str
    others: str | None
    is_private: bool
    """Whether this machine alone reaches them."""

    @classmethod
    def of(cls, bound: str | None, look: Callable[[], str | None]) -> "Reach":
        """Of ports that are bound to an address, to all for `None`; `look` says what others call this machine."""
        host = THIS_MACHINE if bound is None else host_from_here(bound)
        return cls(host, None if host == bound else look(), is_private=bound is not None and is_loopback(bound))


def address_for_others() -> str | None:
    """From where this machine would speak to others; `None` where it is on no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(ELSEWHERE)
        except OSError:
            return None
        found = str(asking.getsockname()[0])
    return None if is_loopback(found) else found


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
                port = bound_port(port_of(step))
                if port is not None:
                    given = _written(step.parameters["stream_key"])
                    url, tried = (_url(step, host, port, key if given == "*" else given) for key in (ANY, TRIED))
                    yield Address(workflow.name, verbs[step.step_type], url, tried)


def pages(
    workflows: Sequence[WorkflowDefinition],
    reach: Reach,
    default_port: int,
    bound_port: Callable[[int], int | None],
) -> Iterator[Address]:
    """The pages that browsers open, as others reach them where others do."""
    for workflow in workflows:
        for step in workflow.steps:
            if step.step_type == "http_watch":
                port = bound_port(http_port_of(step, default_port))
                if port is not None:
                    given = _written(step.parameters["stream_key"])
                    keys = (ANY, TRIED) if given == "*" else (given, given)
                    url, tried = (_page(step, reach.others or reach.host, port, key) for key in keys)
                    yield Address(workflow.name, "page", url, tried)


def open_doors(workflows: Sequence[WorkflowDefinition]) -> list[str]:
    """The workflows to which anybody may publish who reaches their port."""
    return [
        workflow.name
        for workflow in workflows
        if any(step.step_type == "rtmp_receive" and not step.parameters.keys() & DOORS for step in workflow.steps)
    ]


def welcome(lines: Sequence[Address], api: str | None, reach: Reach, open_to_all: Sequence[str] = ()) -> str:
    """The text to print."""
    text = [f"  {line.verb:<8} {line.url:<42} workflow {line.workflow}" for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        text.append(f"  ... and {len(lines) - MAX_LINES} more addresses")
    if api is not None:
        text.append(f"  HTTP API {api}")
    if reach.others is not None and any(line.verb != "page" for line in lines):
        text.append(f"  From other machines: {reach.others} in place of {reach.host}")
    if open_to_all and not reach.is_private:
        text.append(f"  Warning: anybody who reaches this machine may publish ({_named(open_to_all)}).")
        text.append(f"           To restrict it: {', '.join(DOORS)}, or the setting rtmp_host {THIS_MACHINE}")
    publish = next((line.tried for line in lines if line.verb == "publish"), None)
    if publish is not None:
        text += ["", "Try it:", f"  {TRY_IT.format(url=quote(publish))}"]
        watch = next((line.tried for line in lines if line.verb == "watch"), None)
        page = page_to_try(lines)
        if page is not None:
            text.append(f"  and open {page}")
        elif watch is not None:
            text.append(f"  ffplay {quote(watch)}")
    return "\n".join(text)


def page_to_try(lines: Sequence[Address]) -> str | None:
    """The page of the stream that the printed publisher sends, or of the only one that there is."""
    return next((line.tried for line in lines if line.verb == "page"), None)


def _page(step: StepDefinition, host: str, port: int, key: str) -> str:
    scheme, default = ("https", 443) if step.has_flag("https") else ("http", 80)
    name = f"[{host}]" if ":" in host else host
    place = name if port == default else f"{name}:{port}"
    query = QUERIES["play_key"] if "play_key" in step.parameters else ""
    return f"{scheme}://{place}/{encoded(_written(step.parameters['app']))}/{encoded(key, safe='')}{query}"


def _url(step: StepDefinition, host: str, port: int, key: str) -> str:
    scheme = "rtmps" if step.has_flag("rtmps") else "rtmp"
    default = RTMPS_PORT if scheme == "rtmps" else RTMP_PORT
    name = f"[{host}]" if ":" in host else host
    place = name if port == default else f"{name}:{port}"
    query = next((query for name, query in QUERIES.items() if name in step.parameters), "")
    return f"{scheme}://{place}/{_written(step.parameters['rtmp_app'])}/{key}{query}"


def _written(value: ParameterValue) -> str:
    """What came from outside is as secret on a console as in a log."""
    return (value.written if isinstance(value, Resolved) else value) or ""


def _named(workflows: Sequence[str]) -> str:
    names = ", ".join(workflows[:MAX_NAMES])
    more = f" and {len(workflows) - MAX_NAMES} more" if len(workflows) > MAX_NAMES else ""
    return f"workflow {names}" if len(workflows) == 1 else f"workflows {names}{more}"
