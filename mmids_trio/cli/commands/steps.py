"""`steps`: which kinds of steps and executors there are, and what may be written behind them."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mmids_trio.cli.common_options import json_option
from mmids_trio.cli.known_kinds import KnownKinds, load_option
from mmids_trio.config.parser import parse
from mmids_trio.errors import MmidsError
from mmids_trio.http_api.schemas import to_json
from mmids_trio.plugins.kinds import KindView, ParameterView, kinds_of


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
@load_option
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file: also the modules that its setting 'load' names.",
)
def steps(names: Sequence[str], as_json: bool, load: Sequence[str], config: Path | None) -> None:
    """List the kinds of steps and executors: those that are built in, of installed packages, and of modules.

    NAME: only these. Each has its parameters, with defaults and what is expected; behind the name stands whose it is.
    """
    try:
        kinds = _chosen(_known(load, config), names)
    except MmidsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(to_json(kinds), ensure_ascii=False))
    else:
        click.echo("\n\n".join("\n".join(_lines(kind)) for kind in kinds))


def _known(modules: Sequence[str], config: Path | None) -> Sequence[KindView]:
    known = KnownKinds.of(modules)
    configuration = None if config is None else known.read(config)
    server = known(parse("", "") if configuration is None else configuration.document)
    return kinds_of(server.steps, server.executors)


def _chosen(kinds: Sequence[KindView], names: Sequence[str]) -> Sequence[KindView]:
    there = {name for kind in kinds for name in (kind.name, *kind.aliases)}
    if missing := [name for name in names if name not in there]:
        raise MmidsError(f"there is no step or executor '{missing[0]}'; there are {', '.join(sorted(there))}")
    return tuple(kind for kind in kinds if not names or {kind.name, *kind.aliases} & {*names})


def _lines(kind: KindView) -> Iterator[str]:
    also = f", also {', '.join(kind.aliases)}" if kind.aliases else ""
    yield f"{kind.kind} {kind.name} ({kind.owner}){also}"
    for parameter in kind.parameters:
        yield f"    {_written(kind, parameter)}: {_meaning(parameter)}"


def _written(kind: KindView, parameter: ParameterView) -> str:
    if parameter.flag:
        return parameter.name
    return f"{parameter.name}=..." if kind.kind == "step" else f"{parameter.name} ..."


def _meaning(parameter: ParameterView) -> str:
    if parameter.flag:
        words = ["a flag"]
    else:
        words = [parameter.expects or "a value"]
        if parameter.required:
            words.append("required")
        elif parameter.default is not None:
            words.append(f"default {parameter.default}")
    if parameter.aliases:
        words.append(f"also {', '.join(parameter.aliases)}")
    if parameter.in_place:
        words.append("may change in place")
    return "; ".join(words)
