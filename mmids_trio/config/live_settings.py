"""Which settings a reload changes in a running server, and which wait for a restart. Pure: it compares and says."""

from attrs import evolve, fields, frozen

from mmids_trio.config.settings import Settings, is_loopback

LIVE_SETTINGS = ("ffmpeg_path", "http_api_token", "publisher_timeout", "changes_in_place", "reload_max_disconnects")
"""What can change without closing a port, a file or a connection."""


@frozen
class SettingsChange:
    """What becomes of the settings: `running` is what holds from now on; the others are names, never values."""

    running: Settings
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def compare(running: Settings, wanted: Settings) -> SettingsChange:
    """Go from the settings that a server runs with to those that a file has now, as far as that goes."""
    names = [
        attribute.name
        for attribute in fields(Settings)
        if getattr(running, attribute.name) != getattr(wanted, attribute.name)
    ]
    changed = tuple(name for name in names if name in LIVE_SETTINGS and not _would_open_api(name, running, wanted))
    return SettingsChange(
        evolve(running, **{name: getattr(wanted, name) for name in changed}),
        changed,
        tuple(name for name in names if name not in changed),
    )


def _would_open_api(name: str, running: Settings, wanted: Settings) -> bool:
    """A token does not go while the API is still open at an address that other machines reach, with no other token."""
    is_open = not is_loopback(running.http_api_host) and running.http_api_tokens_path is None
    return name == "http_api_token" and wanted.http_api_token is None and is_open
