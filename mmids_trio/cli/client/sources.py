"""Files and directories that a command names, read."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmids_trio.cli.client.failures import ClientError, Unusable
from mmids_trio.cli.client.merging import Merged, Source, merge
from mmids_trio.config.encoding import decode
from mmids_trio.errors import ConfigurationError

SUFFIX = ".mmids"
"""Of the files of a directory that are read; others may lie beside them."""

STANDARD_INPUT = "-"

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""All files together: what one request may bring."""


def read_all(paths: Sequence[str]) -> Merged:
    """What files, directories and standard input (`-`) define. Raises `ClientError`."""
    sources, size = [], 0
    problems: list[str] = []
    for file in dict.fromkeys(file for path in paths for file in _files(path)):
        data = _read(file, MAX_TEXT_BYTES - size)
        size += len(data)
        name = "<stdin>" if file == STANDARD_INPUT else file
        try:
            sources.append(Source(name, decode(data, name)))
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise Unusable(problems)
    return merge(sources)


def _files(path: str) -> Iterator[str]:
    """The file itself, or those of a directory in the order of their names. Two ways to one file are one."""
    if path == STANDARD_INPUT:
        yield path
    elif os.path.isdir(path):
        found = sorted(str(file) for file in Path(path).glob(f"*{SUFFIX}") if not file.name.startswith("."))
        if not found:
            raise ClientError(f"there is no *{SUFFIX} file in the directory {path}; nothing was sent")
        yield from found
    else:
        yield str(Path(path))


def _read(file: str, limit: int) -> bytes:
    try:
        if file == STANDARD_INPUT:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with open(file, "rb") as opened:
                data = opened.read(limit + 1)
    except OSError as error:
        raise ClientError(f"cannot read {file}: {error.strerror}; nothing was sent") from error
    if len(data) > limit:
        raise ClientError(f"the files are larger than {MAX_TEXT_BYTES // 1024**2} MiB together; nothing was sent")
    return data
