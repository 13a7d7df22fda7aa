"""Lists that the API gives page by page, as a command reads them, and how streams and clients look in a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmids_trio.cli.client.api import ApiClient
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.errors import printable

PAGE = "1000"
"""Objects asked for at a time: as many as the API gives."""

STREAM_HEADINGS = ("ID", "NAME", "WORKFLOW", "STATE", "SOURCE", "VIDEO", "AUDIO", "KBIT/S", "WATCHERS")
CLIENT_HEADINGS = ("ID", "ROLE", "NAME", "WORKFLOW", "ADDRESS", "STATE", "LAG MS", "SKIPS", "AGENT")


def everything(api: ApiClient, kind: str, only: Mapping[str, str | None]) -> Iterator[Mapping[str, Any]]:
    """All streams or clients (`kind`) that are like `only` says, in the API's order. Raises `ClientError`."""
    params = {"limit": PAGE, **{name: value for name, value in only.items() if value is not None}}
    while True:
        page = api.request("GET", f"/{kind}", params=params).json()
        if not isinstance(page, Mapping) or not isinstance(page.get(kind), list):
            raise ClientError(f"the answer is not a page of {kind}; is this the HTTP API of an mmids_trio?")
        yield from page[kind]
        if page.get("next") is None:
            return
        params["after"] = str(page["next"])


def stream_row(stream: Mapping[str, Any]) -> tuple[str, ...]:
    """One stream."""
    tracks = {track["kind"]: track for track in stream["tracks"]}
    source = stream["source"]
    rates = [track["bitrate_10s"] for track in tracks.values() if track["bitrate_10s"] is not None]
    return _cells(
        stream["id"],
        stream["name"],
        stream["workflow"],
        stream["state"],
        _source(source) if source else "",
        _video(tracks.get("video")),
        _audio(tracks.get("audio")),
        round(sum(rates) / 1000) if rates else "",
        stream["watchers"],
    )


def client_row(client: Mapping[str, Any]) -> tuple[str, ...]:
    """One client."""
    names = ("id", "role", "name", "workflow")
    return _cells(
        *(client[name] for name in names),
        _peer(client),
        client["state"],
        client["lag_ms"],
        client["skips"],
        client["agent"],
    )


def _cells(*values: object) -> tuple[str, ...]:
    return tuple(printable(str(value)) for value in values)


def _source(source: Mapping[str, Any]) -> str:
    """Who publishes; of what no client does, what its step reads."""
    return _peer(source) if source["address"] else " ".join(filter(None, (source["protocol"], source["location"])))


def _peer(peer: Mapping[str, Any]) -> str:
    host = f"[{peer['address']}]" if ":" in peer["address"] else peer["address"]
    return f"{peer['protocol']} {host}:{peer['port']}"


def _video(track: Mapping[str, Any] | None) -> str:
    if track is None:
        return ""
    size = f"{track['width']}x{track['height']}" if track["width"] else ""
    rate = f"{track['frame_rate']:g} fps" if track["frame_rate"] else ""
    return " ".join(filter(None, (track["codec"] or "unknown", size, rate)))


def _audio(track: Mapping[str, Any] | None) -> str:
    if track is None:
        return ""
    return " ".join(filter(None, (track["codec"] or "unknown", track["sample_rate"] and f"{track['sample_rate']} Hz")))
