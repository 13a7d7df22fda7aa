"""`python -m tests.fuzz.search TARGET OPTION...`: libFuzzer itself, in a process that never returns from it.

Apart from what prepares it because code is made visible to libFuzzer while it is imported: nothing of the package may
have been imported before.
"""

import sys
from importlib import import_module

import atheris


def main() -> None:
    """Fuzz until an option of libFuzzer says to end, or until the target raises."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["mmids_trio"]):
        module = import_module(f"tests.fuzz.targets.{name}")
    atheris.Setup([sys.argv[0], *options], module.fuzz_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
