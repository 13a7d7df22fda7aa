"""What configurations may name: kinds that are built in, of installed packages, and of modules that were named.

Modules are imported once, before anything runs: those of `--load`, and those that the setting `load` of the file names
that is started or checked.  A reload imports none; it takes what was there at the start.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from mmids_trio.cli.common_options import LOAD, CommonOption
from mmids_trio.config.converters import module_names
from mmids_trio.config.parser import Document
from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.late import late
from mmids_trio.plugins.loading import CannotLoad, Plugins, installed
from mmids_trio.reload.configuration_file import Configuration, load
from mmids_trio.server.app import Server
from mmids_trio.server.building import World, build_server
from mmids_trio.steps.registry import MADE_BY_CODE

if TYPE_CHECKING:
    from mmids_trio.cluster import memory
else:
    memory = late("mmids_trio.cluster.memory")

load_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--load",
    LOAD,
    cls=CommonOption,
    multiple=True,
    metavar="MODULE",
    help="Python module with steps or executors of one's own; may be repeated.",
)
"""For each command that has to know what a configuration may name."""


@define
class KnownKinds:
    """The kinds that a configuration may name, in the program that runs or checks it."""

    plugins: Plugins = field(factory=Plugins)

    @classmethod
    def of(cls, modules: Sequence[str]) -> "KnownKinds":
        """Those of installed packages and of these modules. Raises `CannotLoad`."""
        try:
            names = [name for each in modules for name in module_names(each)]
        except ValueError as error:
            raise CannotLoad(f"--load: {error}") from error
        return cls(installed().with_modules(names, Path()))

    def __call__(self, document: Document) -> Server:
        """What a document may name, as a server that is not run."""
        return build_server(
            Settings(),
            document.reactors,
            cluster=document.cluster,
            more_steps=self.plugins.steps,
            more_executors=self.plugins.executors,
            world=World(registry=lambda *_: memory.MemoryDirectory()),  # which nobody asks
        )

    def load_named_by(self, document: Document) -> None:
        """Know what the modules have besides that a document names. Raises `ConfigurationError`."""
        try:
            place = document.setting_places.get(LOAD, MADE_BY_CODE)
            self.plugins = self.plugins.with_modules(document.settings.load, Path(place.file).parent)
        except CannotLoad as error:
            raise ConfigurationError([Problem(place, str(error))]) from error

    def read(self, path: Path) -> Configuration:
        """A configuration file that is started, with the modules that it names. Raises `MmidsError`."""

        def kinds(document: Document) -> Server:
            self.load_named_by(document)
            return self(document)

        return load(path, kinds)

    def read_again(self, path: Path) -> Configuration:
        """The file of a server that runs. What it wants that was not there at the start may be what it lacks."""
        missing: list[Problem] = []

        def kinds(document: Document) -> Server:
            for module in document.settings.load:
                if module not in self.plugins.modules:
                    place = document.setting_places[LOAD]
                    missing.append(
                        Problem(place, f"the module '{module}' is loaded when the server starts; restart it")
                    )
            return self(document)

        try:
            return load(path, kinds, is_strict=True)
        except ConfigurationError as error:
            raise ConfigurationError([*error.problems, *missing]) from error
