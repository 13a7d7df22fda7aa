"""From bytes to text, with a place for what is not UTF-8.

Apart from the parser because files, request bodies and answers of reactors all arrive as bytes and are
decoded here.
"""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from mmids_trio.config.scanner import LONG_LINE_EXCERPT, MAX_LINE_LENGTH
from mmids_trio.errors import ConfigurationError, Place, Problem


def decode(data: bytes, file: str) -> str:
    """The text of UTF-8 `data`, without its byte-order mark; raises `ConfigurationError` if it is not."""
    data = data.removeprefix(BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        problem = Problem(_place(data, error.start, file), _message(data, error.start))
        raise ConfigurationError([problem]) from None


def _place(data: bytes, position: int, file: str) -> Place:
    start = data.rfind(b"\n", 0, position) + 1
    end = data.find(b"\n", position)
    line = data[start : end if end >= 0 else len(data)].removesuffix(b"\r")
    number = data.count(b"\n", 0, position) + 1
    if len(line) > MAX_LINE_LENGTH:
        return Place(file, number, 1, line[:LONG_LINE_EXCERPT].decode(errors="replace"))
    column = len(data[start:position].decode()) + 1
    return Place(file, number, column, line.decode(errors="replace"))


def _message(data: bytes, position: int) -> str:
    message = f"byte 0x{data[position]:02X} is not UTF-8 here; expected a text file in UTF-8"
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return message + " (this one looks like UTF-16)"
    return message
