"""What a recording leaves out: which records are masked, and by what.

Apart from the recorder, which knows queues and time, and from the maskers, which know one format each.
"""

from attrs import evolve, field, frozen

from mmids_trio.recording import records
from mmids_trio.recording.chunk_masking import ChunkMasker
from mmids_trio.recording.pseudonyms import Pseudonyms
from mmids_trio.recording.text_masking import TextMasker

FULL, HEADERS = "full", "headers"
"""Media: all of it, or only what tells frames apart and the sequence headers."""

KEEP, MASK = "keep", "mask"
"""Secrets."""

RECORDED_HEADERS = frozenset(
    {"authorization", "content-type", "content-encoding", "host", "if-match", "if-none-match", "origin", "x-request-id"}
)
"""Headers of requests on which the API's answer depends."""


@frozen
class Masking:
    """The choices of one recording. `secret`: random bytes, of its own, from which pseudonyms are made.

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
