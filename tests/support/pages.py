"""The commands that pages and examples show, as a shell script that runs them one after the other as they stand.

A page is Markdown, or an example whose head is a comment.  An indented block of a page is commands unless its first
line says that it is something else.  What a reader knows and a script does not stands in a comment above the block,
which nobody sees who reads the page:

    <!-- not run: REASON -->        it cannot run here
    <!-- file: NAME -->             the fenced block below is the file of that name
    <!-- first: SHELL -->           what a reader has done by then
    <!-- exits: 2 1 -->             how the lines of the block end, where that is not 0

Programs that go on until somebody stops them run in the background, and the next line runs when they are at work.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from attrs import evolve, field, frozen

ROOT = Path(__file__).parents[2]

PAGES = (
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
)
HEADS = sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".mmids", ".yml"))

OTHER_THAN_COMMANDS = re.compile(
    r"[{~\"]|\w+: |POST |workflow |settings |rtmp_receive |\[tool|log = |structlog\.|origin: |# HAProxy"
)
"""How an indented block begins that is no command: answers, configuration, code, drawings."""

PROGRAMS = (r"\.venv/bin/python", "ffmpeg", "ffplay", "curl", "openssl", "python3", "mmids_trio", "scripts/run")
"""What the commands in the heads of examples begin with."""

_MARK = re.compile(r"<!-- (not run|file|first|exits):\s+(.*?)\s+-->", re.DOTALL)
_BLOCK = re.compile(
    r"(?P<marks>(?:^<!-- (?:not run|file|first|exits):(?:.|\n)*?-->\n\n?)*)"
    r"(?:^```(?P<language>\w*)\n(?P<fenced>(?:.|\n)*?)^```$"
    r"|(?P<indented>^    \S.*\n(?:^    .*\n)*))",
    re.MULTILINE,
)
_HEAD_COMMAND = re.compile(rf"^#   +(?:\w+ +)?((?:{'|'.join(PROGRAMS)})(?: .*)?)$")

SIGNS = {
    "server": re.compile(r"(?:\w+=\S+ )*(?:scripts/run\b(?! --help| check| \w+ )|\S*python3? -m mmids_trio capture )"),
    "balanced": re.compile(r"\S*python3? examples/load_balancing/run\.py"),
    "reactor": re.compile(r"\S*python3? -m mmids_trio reactor-test-server"),
    "publisher": re.compile(r"ffmpeg .*-re "),
    "player": re.compile(r"ffplay "),
    "stream": re.compile(r"curl -N "),
    "files": re.compile(r"python3 -m http\.server"),
}
"""What goes on by itself, by the sign (a function of the script) that tells when it is at work."""


@frozen
class Block:
    """Commands of a page, or a file of it (`is_file`). `line` is where they begin."""

    page: Path
    line: int
    text: str
    not_run: str | None = None
    name: str | None = None
    first: str = ""
    exits: tuple[int, ...] = field(default=())

    @property
    def place(self) -> str:
        """For people."""
        page = self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page
        return f"{page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """All command blocks and files of a page, in their order."""
    text = page.read_text("utf-8")
    if page.suffix != ".md":
        yield from _head(page, text)
        return
    for found in _BLOCK.finditer(text):
        marks = dict(_MARK.findall(found["marks"]))
        body = found["fenced"] if found["indented"] is None else _dedented(found["indented"])
        start = found.start("fenced" if found["indented"] is None else "indented")
        block = Block(
            page,
            text.count("\n", 0, start) + 1,
            body,
            not_run=marks.get("not run"),
            name=marks.get("file"),
            first=marks.get("first", ""),
            exits=tuple(map(int, marks.get("exits", "").split())),
        )
        if block.name or marks or _is_commands(found["language"], body):
            yield block


def _is_commands(language: str | None, body: str) -> bool:
    return language in ("sh", "bash", "console") if language is not None else not OTHER_THAN_COMMANDS.match(body)


def _dedented(text: str) -> str:
    return "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True))


def _head(page: Path, text: str) -> Iterator[Block]:
    """One block for the commands in the comment that an example begins with."""
    lines = text.splitlines()
    commands: list[str] = []
    first, not_run, start = "", None, 0
    for number, line in enumerate(lines, 1):
        if not line.startswith("#"):
            break
        mark = re.fullmatch(r"#\s+\((not run|first): (.*)\)", line)
        if mark and mark[1] == "not run":
            not_run = mark[2]
        elif mark:
            first = mark[2]
        elif commands and commands[-1].endswith("\\"):
            commands.append(line.lstrip("# "))
        elif found := _HEAD_COMMAND.match(line):
            commands.append(re.split(r"(?<=\S)(?:   +|, (?:or|for) )", found[1])[0])
            start = start or number
    if commands:
        yield Block(page, start, "\n".join(commands) + "\n", not_run=not_run, first=first)


def script(page: Path) -> str:
    """All that runs of a page, in the language of bash; see `runner.sh` for what it is put behind."""
    parts = []
    for block in blocks(page):
        if block.not_run is not None:
            continue
        parts.append(f"at {quote(block.place)}\n")
        if block.first:
            parts += _commands(evolve(block, text=block.first + "\n", exits=()))
        if block.name is not None:
            parts.append(f"cat > {quote(block.name)} <<'END OF FILE'\n{block.text}END OF FILE\n")
        else:
            parts += _commands(block)
    return "".join(parts)


def _commands(block: Block) -> Iterator[str]:
    if block.exits:
        for line, status in zip(block.text.splitlines(), block.exits, strict=True):
            yield f"ends_with {status} {line}\n"
        return
    for line in block.text.splitlines():
        sign = next((sign for sign, pattern in SIGNS.items() if pattern.match(line)), None)
        if sign is None:
            yield f"{line}\n"
        else:
            if address := re.search(r"ffplay (http\S+)", line):
                yield f"until_there {address[1]}\n"
            command, _, then = re.sub(r"\s+#.*", "", line).partition(" &")
            yield f'begin {sign}\n{command} >"$out" 2>"$err" &\n{then}\nuntil_at_work\n'
