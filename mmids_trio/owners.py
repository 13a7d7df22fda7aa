"""Whose a kind of step or of executor is, and that no two have one name."""

from collections.abc import Iterable
from functools import partial

from mmids_trio.errors import MmidsError

OWN = "mmids_trio"
"""Whose all kinds are that come with this package."""


class NameTaken(MmidsError):
    """Two kinds have one name; the message names both owners."""


def owner_of(build: object) -> str:
    """Whose a kind is that `build` makes: of this package, or of the module in which it stands."""
    while isinstance(build, partial):
        build = build.func
    module = str(getattr(build, "__module__", None) or "?")
    return OWN if module.partition(".")[0] == OWN else f"module {module}"


def require_different_names(what: str, named: Iterable[tuple[str, str]]) -> None:
    """Names and owners; `what` they are names of. Raises `NameTaken`."""
    owners: dict[str, str] = {}
    for name, owner in named:
        if name in owners:
            raise NameTaken(f"two kinds of {what}s are called '{name}': one of {owners[name]}, and one of {owner}")
        owners[name] = owner
