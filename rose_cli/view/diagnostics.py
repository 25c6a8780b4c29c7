"""Errors in campaign files: as text with the lines that they are in, as JSON, and as annotations for GitHub."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Severity
from rose_cli.util.redact import masked_document, masked_setting
from rose_cli.util.text import counted
from rose_cli.view.console import ELLIPSIS, SafeStream, head, is_colourless, open_console, safe, tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from rich.text import Text

    from rose_cli.util.errors import Diagnostic, Span

TAB_WIDTH = 4

CONTEXT = 24
"""Cells of a long line that are shown before the error, at least."""


@dataclass(frozen=True)
class Frame:
    """A line of text, and carets below the part in error, after as many `blanks`."""

    text: str
    blanks: str
    carets: str


def frame(line: str, span: Span, width: int) -> Frame:
    """`line` is the first line of `span`; text and carets take at most `width` cells."""
    start = min(span.column - 1, len(line))
    # of a span over several lines, the part in its first line is marked
    end = len(line) if span.end_line > span.line else min(span.end_column - 1, len(line))
    before, meant, after = (_shown(part) for part in (line[:start], line[start:end], line[end:]))
    meant, after = meant.rstrip() or meant, after.rstrip()
    return _cut(before, meant, after, max(width, 2 * CONTEXT))


def _shown(text: str) -> str:
    """Tabs become a fixed number of spaces, so that the carets stay aligned."""
    return safe(text.replace("\t", " " * TAB_WIDTH))


def _cut(before: str, meant: str, after: str, width: int) -> Frame:
    """Omit text far from the error."""
    if cell_len(before + meant + after) > width:
        room = max(CONTEXT, width - cell_len(meant) - CONTEXT)
        if cell_len(before) > room:
            before = ELLIPSIS + tail(before, room - 1)
        room = width - cell_len(before)
        if cell_len(meant) > room:
            meant, after = head(meant, room - 1) + ELLIPSIS, ""
        elif cell_len(meant + after) > room:
            after = head(after, room - cell_len(meant) - 1) + ELLIPSIS
    return Frame(before + meant + after, " " * cell_len(before), "^" * max(1, cell_len(meant)))


OPTION = "--"
"""A diagnostic about the command line has the option as its file, `--set max_iter=abc`, which is also its text."""

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold magenta"}


def print_diagnostics(diagnostics: Sequence[Diagnostic], text: str, name: str, stream: TextIO) -> None:
    """Print each error with its location in `text`, and how many there are in the file called `name`."""
    if not diagnostics and is_colourless(stream):
        SafeStream(stream).write(f"{_NONE}{_named(name)}\n")
        return
    console = open_console(stream)
    console.print(diagnostics_text(diagnostics, text, name, console.width))


def diagnostics_text(diagnostics: Sequence[Diagnostic], text: str, name: str, width: int) -> Text:
    """Human-readable; source lines take at most `width` cells."""
    from rich.text import Text

    lines = masked_document(text).splitlines()
    found = [_as_text(diagnostic, lines, width) for diagnostic in diagnostics]
    return Text("\n\n").join([*found, _count(diagnostics, name)])


def diagnostic_objects(diagnostics: Iterable[Diagnostic]) -> list[dict[str, str | int | None]]:
    """For JSON. Lines and columns count from 1, ends are exclusive; a missing part is null."""
    return [_object(diagnostic) for diagnostic in diagnostics]


def diagnostics_github(diagnostics: Iterable[Diagnostic]) -> str:
    """One workflow command per line, for annotations in the file."""
    return "".join(f"{_command(diagnostic)}\n" for diagnostic in diagnostics)


def _as_text(diagnostic: Diagnostic, lines: Sequence[str], width: int) -> Text:
    from rich.text import Text

    is_option = diagnostic.file.startswith(OPTION)
    shown = Text()
    place = diagnostic.span
    name = masked_setting(diagnostic.file) if is_option else diagnostic.file
    shown.append(f"{safe(name)}:", "bold")
    if place is not None and not is_option:
        shown.append(f"{place.line}:{place.column}:", "bold")
    shown.append(" ")
    shown.append(f"{diagnostic.severity.value}[{diagnostic.code}]", _STYLES[diagnostic.severity])
    shown.append(f": {safe(diagnostic.message)}")
    source = [name] if is_option else lines
    if place is not None and 0 < place.line <= len(source):
        number = "" if is_option else str(place.line)
        _append_frame(shown, diagnostic, place, source[place.line - 1], number, width)
    if diagnostic.hint:
        shown.append("\nhelp:", "bold")
        shown.append(f" {safe(diagnostic.hint)}")
    return shown


def _append_frame(shown: Text, diagnostic: Diagnostic, place: Span, line: str, number: str, width: int) -> None:
    gutter = f"\n{' ' * len(number)} | "
    picture = frame(line, place, width - len(gutter) + 1)
    shown.append(gutter.rstrip())
    shown.append(f"\n{number} | {picture.text}")
    shown.append(f"{gutter}{picture.blanks}")
    shown.append(picture.carets, _STYLES[diagnostic.severity])


def _count(diagnostics: Sequence[Diagnostic], name: str) -> Text:
    """ "2 errors, 1 warning in campaign.yaml" """
    from rich.text import Text

    counts = Counter(diagnostic.severity for diagnostic in diagnostics)
    found = [counted(counts[severity], severity.value) for severity in Severity if counts[severity]]
    if not found:
        return Text.assemble((_NONE[:2], "green"), f"{_NONE[2:]}{_named(name)}")
    return Text(f"{', '.join(found)} in {_named(name)}")


_NONE = "✓ no errors in "


def _named(name: str) -> str:
    return safe(masked_setting(name) if name.startswith(OPTION) else name)


def _object(diagnostic: Diagnostic) -> dict[str, str | int | None]:
    span = diagnostic.span
    return {
        "file": masked_setting(diagnostic.file) if diagnostic.file.startswith(OPTION) else diagnostic.file,
        "line": span.line if span else None,
        "column": span.column if span else None,
        "end_line": span.end_line if span else None,
        "end_column": span.end_column if span else None,
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    }


def _command(diagnostic: Diagnostic) -> str:
    """Columns are included only if the error is in one line: GitHub ignores them otherwise."""
    message = diagnostic.message + (f"\nhelp: {diagnostic.hint}" if diagnostic.hint else "")
    properties: dict[str, str | int] = {}
    if diagnostic.file.startswith(OPTION):
        message = f"{masked_setting(diagnostic.file)}: {message}"
    else:
        properties["file"] = diagnostic.file
        properties.update(_place(diagnostic.span))
    properties["title"] = f"rose: {diagnostic.code}"
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{diagnostic.severity.value} {listed}::{_data(message)}"


def _place(span: Span | None) -> dict[str, int]:
    if span is None:
        return {}
    if span.line != span.end_line:
        return {"line": span.line, "endLine": span.end_line}
    return {"line": span.line, "col": span.column, "endLine": span.end_line, "endColumn": span.end_column}


def _data(text: str) -> str:
    return safe(text, keep="\r\n").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
