"""Public faces: packages that give the names which others import, each from its module when it is asked for."""

from collections.abc import Callable, Collection, Sequence
from importlib import import_module


def lazily(package: str, names: Collection[str], modules: Sequence[str]) -> Callable[[str], object]:
    """A `__getattr__` (PEP 562) for `package`, which finds `names` in the first of `modules` that has them."""

    def find(name: str) -> object:
        for module in modules if name in names else ():
            found = getattr(import_module(f"mmids_trio.{module}"), name, None)
            if found is not None:
                return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
