"""The public face for programs of one's own that run a server: what they import, all of it from here.

`building` is the composition root, the one place where the parts are put together; `app` runs them.
"""

from typing import TYPE_CHECKING

from mmids_trio.faces import lazily

if TYPE_CHECKING:
    from mmids_trio.config.settings import Settings
    from mmids_trio.reload.configuration_file import Configuration, load
    from mmids_trio.server.app import Server
    from mmids_trio.server.building import Hooks, World, build_server

__all__ = ["Configuration", "Hooks", "Server", "Settings", "World", "build_server", "load"]

_MODULES = ("config.settings", "reload.configuration_file", "server.app", "server.building")
"""Where the names are."""

if not TYPE_CHECKING:  # a checker of types would take every name for one of these
    __getattr__ = lazily(__name__, __all__, _MODULES)


def __dir__() -> list[str]:
    return [*__all__, "app", "building"]
