"""What the variables of a state stand for: kept in a file of its own, so that the state may be looked at and copied.

Apart from the text of the state, which shows `${NAME}`.  The values are not asked for again at a restart: who sent them
had them from elsewhere.  They are on the disk before the state that needs them, beside those of the state before, which
go once it is there; so every state that a crash leaves finds its own.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field

from mmids_trio.state.file import StateError, StateFile
from mmids_trio.state.text import SECRETS_SUFFIX

Values = Mapping[str, str]


@define(eq=False)
class StateSecrets:
    """The values by the checksum of the state that they belong to, in `file`."""

    file: StateFile
    _kept: dict[str, Values] = field(factory=dict, init=False, repr=False)

    @classmethod
    def beside(cls, path: Path) -> "StateSecrets":
        """Those of the state file at `path`."""
        return cls(StateFile(path.with_name(path.name + SECRETS_SUFFIX)))

    def load(self, checksum: str) -> Values:
        """The values of that state; for one that was edited by hand, all that there are. Raises `StateError`."""
        self.file.clean()
        data = self.file.read()
        self._kept = {} if data is None else self._parsed(data)
        if checksum in self._kept:
            return self._kept[checksum]
        return {name: value for values in self._kept.values() for name, value in values.items()}

    def _parsed(self, data: bytes) -> dict[str, Values]:
        try:
            found = json.loads(data)
            return {str(state): {str(name): str(value) for name, value in found[state].items()} for state in found}
        except (ValueError, TypeError, AttributeError):
            raise StateError(f"the file {self.file.path} is damaged; it has the secrets of the state file") from None

    def add(self, checksum: str, values: Values) -> None:
        """Have the values of a state on the disk that will be put in place. Raises `OSError`."""
        self._become({checksum: values, **{state: old for state, old in self._kept.items() if state != checksum}})

    def settle(self, checksum: str) -> None:
        """That state is in place: the others' values go. Raises `OSError`."""
        self._become({checksum: self._kept.get(checksum, {})})

    def _become(self, wanted: dict[str, Values]) -> None:
        is_needed = any(wanted.values()) or any(self._kept.values())
        if wanted != self._kept and is_needed:
            self.file.replace(json.dumps(wanted).encode())
        self._kept = wanted
