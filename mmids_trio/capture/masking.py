"""What a capture leaves out: which records are masked, and by what.

Apart from the capture, which knows queues and time, and from the masker of chunks, which knows RTMP.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from attrs import evolve, field, frozen

from mmids_trio.capture import records
from mmids_trio.capture.chunk_masking import ChunkMasker
from mmids_trio.capture.pseudonyms import Pseudonyms
from mmids_trio.masking import SECRET_WORDS

FULL, HEADERS = "full", "headers"
"""Media: all of it, or only what tells frames apart and the sequence headers."""

KEEP, MASK = "keep", "mask"
"""Secrets."""

CAPTURED_HEADERS = frozenset(
    {"authorization", "content-type", "content-encoding", "host", "if-match", "if-none-match", "origin", "x-request-id"}
)
"""Headers of requests on which the API's answer depends."""

_TOKEN = re.compile(r'[^\s"]*"(?:[^"\\]|\\.)*"?|\S+|\s+')
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,19})://([^\s'\"]*)")
_REFERENCE = re.compile(r"((?<!\$)\$\{[^{}]*\})")
_VALUES = re.compile(r"\s*values\s*\{")
_NUMBER = re.compile(r"[0-9]{1,5}")
"""A port, say, without which a replay could not be."""

_ESCAPED = re.compile(r'\\(["\\])')
_TO_ESCAPE = re.compile(r'(["\\])')


@frozen
class _Patterns:
    """What secrets follow: a whole word that names one, that name in JSON, in a workflow within JSON, in a query."""

    name: re.Pattern[str]
    json: re.Pattern[str]
    json_pair: re.Pattern[str]
    query: re.Pattern[str]


@lru_cache(maxsize=8)
def _patterns(declared: frozenset[str]) -> _Patterns:
    flags = re.IGNORECASE | re.ASCII
    names = "|".join([rf"[\w-]*(?:stream_key|{SECRET_WORDS})[\w-]*", *map(re.escape, sorted(declared))])
    return _Patterns(
        re.compile(names, flags),
        re.compile(rf'("(?:{names})"\s*:\s*")((?:[^"\\]|\\.)*)', flags),
        re.compile(rf'((?<![\w-])(?:{names})=(?:\\")?)([^\s"\\]+)', flags),
        re.compile(rf"(?<![^?&])({names}|key|auth|sig|signature)=([^&]*)", flags),
    )


@frozen
class TextMasker:
    """Masks texts (configurations, workflows, requests to the API) with the pseudonyms of one capture.

    Apart from the parser because a text that does not parse is captured as well, and nothing of it may be secret
    either.  What is masked: values of parameters that are declared as secret; values of those and of settings whose
    names say that they are keys, tokens or passwords; of a URL the user, the query, and the last part where it is RTMP;
    comments.  `declared`: names of parameters that are secret.
    """

    pseudonyms: Pseudonyms
    declared: frozenset[str] = frozenset()

    @property
    def _patterns(self) -> _Patterns:
        return _patterns(self.declared)

    def configuration(self, text: str) -> str:
        """A text in the configuration language, or one that was meant to be; lines and columns stay."""
        lines, is_value = [], False
        for line in text.split("\n"):
            is_value = (is_value and line.strip() != "}") or _VALUES.match(line) is not None
            lines.append("".join(self._value_line(line) if is_value else self._line(line)))
        return "\n".join(lines)

    def json(self, text: str) -> str:
        """A text in JSON; strings with workflows in them are masked as well."""
        text = self._patterns.json.sub(lambda match: match[1] + self.pseudonyms.of(match[2]), text)
        return self.urls(self._patterns.json_pair.sub(lambda match: match[1] + self.pseudonyms.of(match[2]), text))

    def target(self, text: str) -> str:
        """A path with a query."""
        return self._patterns.query.sub(lambda match: f"{match[1]}={self.pseudonyms.of(match[2])}", text)

    def authorization(self, value: str) -> str:
        """The value of an `Authorization` header; the scheme stays."""
        scheme, space, credentials = value.partition(" ")
        return f"{scheme} {self.pseudonyms.of(credentials)}" if space else self.pseudonyms.of(value)

    def urls(self, text: str) -> str:
        """Any text, with its URLs masked."""
        return _URL.sub(self._url, text) if "://" in text else text

    def _value_line(self, line: str) -> Iterator[str]:
        """One of those that say what variables stand for."""
        name, quote, rest = line.partition('"')
        yield name
        if quote:
            is_number = _NUMBER.fullmatch(rest.rstrip().removesuffix('"'))
            yield quote + rest if is_number else self._literal(quote + rest.rstrip())

    def _line(self, line: str) -> Iterator[str]:
        is_secret, follows_secret_name = self._patterns.name.fullmatch, False
        for match in _TOKEN.finditer(line):
            token = _REFERENCE.sub(self._default, match[0])
            if token.startswith("#"):
                yield "#"
                return
            if token.isspace():
                yield token
                continue
            name, equals, value = token.partition("=")
            if follows_secret_name:
                yield self._value(token)
            elif equals and is_secret(name):
                yield name + equals + self._value(value)
            else:
                yield self.urls(token)
            follows_secret_name |= not equals and is_secret(token) is not None

    def _value(self, value: str) -> str:
        if not value.startswith('"'):
            return self._word(value)
        closing = '"' if len(value) > 1 and value.endswith('"') else ""
        inner = _ESCAPED.sub(r"\1", value[1 : len(value) - len(closing)])
        return '"' + _TO_ESCAPE.sub(r"\\\1", self._word(inner)) + closing

    def _literal(self, value: str) -> str:
        """In quotes, and without a variable, whatever it looks like."""
        inner = _ESCAPED.sub(r"\1", value[1:].removesuffix('"'))
        return '"' + _TO_ESCAPE.sub(r"\\\1", self.pseudonyms.of(inner)) + '"'

    def _word(self, word: str) -> str:
        """What stands in quotes or without: variables stay as they are written."""
        pieces = _REFERENCE.split(word)  # every second one is a variable
        return "".join(piece if place % 2 else self.pseudonyms.of(piece) for place, piece in enumerate(pieces))

    def _default(self, match: re.Match[str]) -> str:
        """A variable, of which the default may be as secret as what comes from outside."""
        name, mark, value = match[0][2:-1].partition(":-")
        return f"${{{name}{mark}{value if _NUMBER.fullmatch(value) else self.pseudonyms.of(value)}}}"

    def _url(self, match: re.Match[str]) -> str:
        location, question, query = match[2].partition("?")
        authority, slash, path = location.partition("/")
        user, at, host = authority.rpartition("@")
        if match[1].lower().startswith("rtmp") and path:
            before, separator, key = path.rpartition("/")
            path = before + separator + self._word(key)
        masked = f"{self._word(user)}{at}{host}{slash}{path}{question}{self._word(query)}"
        return f"{match[1]}://{masked}"


@frozen
class Masking:
    """The choices of one capture. `secret`: random bytes, of its own, from which pseudonyms are made.

    `declared`: names of parameters that the kinds of steps and executors of the server declare as secret.
    """

    secret: bytes = field(repr=False)
    media: str = HEADERS
    secrets: str = MASK
    declared: frozenset[str] = frozenset()

    @property
    def _text(self) -> TextMasker:
        return TextMasker(Pseudonyms(self.secret), self.declared)

    def of_connection(self) -> ChunkMasker | None:
        """For the bytes of a new connection; `None` where they are kept as they are."""
        if self.media == FULL and self.secrets == KEEP:
            return None
        return ChunkMasker(Pseudonyms(self.secret) if self.secrets == MASK else None, self.media == HEADERS)

    def of_record(self, record: records.Record) -> records.Record:  # noqa: PLR0911 - one for each kind
        """What goes to the tape of a record that is not a connection's."""
        if self.secrets == KEEP:
            return record
        match record:
            case records.Start(configuration=configuration) | records.Loaded(configuration=configuration):
                return evolve(record, configuration=self._configuration(configuration))
            case records.Requested():
                return self._request(record)
            case records.Asked(stream=stream):
                return evolve(record, stream=self._text.pseudonyms.of(stream))
            case records.Told(outcome=records.VALID, text=text):
                return evolve(record, text=self._configuration(text))
            case records.Told(outcome=records.FAILED, text=text):
                return evolve(record, text=self._text.urls(_decoded(text)).encode())
            case _:
                return record

    def _request(self, record: records.Requested) -> records.Requested:
        headers = [self._header(*line.partition(": ")) for line in record.headers.splitlines()]
        is_json = any(header.startswith("content-type: application/json") for header in headers)
        body = _decoded(record.body)
        masked = self._text.json(body) if is_json else self._text.configuration(body)
        return evolve(
            record,
            target=self._text.target(record.target),
            headers="\n".join(headers),
            body=masked.encode("utf-8", "surrogateescape"),
        )

    def _header(self, name: str, separator: str, value: str) -> str:
        return f"{name}{separator}{self._text.authorization(value) if name == 'authorization' else value}"

    def _configuration(self, text: bytes) -> bytes:
        return self._text.configuration(_decoded(text)).encode("utf-8", "surrogateescape")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
