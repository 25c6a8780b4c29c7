"""Scans a shell line by the rules of POSIX for words, quotes and substitutions.

At each placeholder the scanner knows how a value must be quoted to arrive unchanged; where it cannot know, only a value
that is plain everywhere is allowed. It is one class in one file, although it is long: every kind of quoting can contain
the others, so all of them change the same state.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import field, replace
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING

from rose_cli.config.placeholders import pieces_of
from rose_cli.plan.shell_quoting import HOLE, HOLES, HiddenBy, Part, ShellLine, Spot, Style, reason_of
from rose_cli.plan.words import HERE_STRING, Code, code_read_by_command, code_read_from_input
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NUMBERS = frozenset({"iteration", "replica", "seed"})
"""Placeholders whose values are digits: plain everywhere."""

_BARE_AFTER = " \t\n=/-.:"

_REST_OF_WORD = re.compile(r"[^\s;&|()<>]*")

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)

_NAME = re.compile(r"[A-Za-z_]\w*")

_SET_VARIABLES = frozenset(("export", "readonly", "local", "declare", "typeset", "unset", "read", "printf"))

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9])")

_WHOLE_PARAMETER = re.compile(r"\$\{#?([A-Za-z_]\w*|[0-9]+|[@*#?$!-])\}")

_PARAMETER_WITH_WORD = re.compile(r"\$\{([A-Za-z_]\w*|[0-9]+|[@*#?$!-])(:?[-=+?]|%%?|##?)")

_HERE_DOCUMENT = re.compile(r"<<(-?)[ \t]*((?:'[^'\n]*'|\"[^\"\n\\$`]*\"|\\[^\n]|[^\s'\"\\;&|()<>$`])+)")

_BEFORE_A_COMMAND = frozenset(
    ("if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "exec", "command", "builtin")
)

_HEEDS_FAILURES = re.compile(r"\bset\s+-[a-z]*e|\bset\s+-o\s+errexit|\b(if|for|while|until|case)\s")

_CODE = re.compile(r"(\s|#[^\n]*(\n|\Z))*[^\s#]")

_LINE = re.compile(r"([^\n]*)(\n|\Z)")

_NO_QUOTES = str.maketrans("", "", "'\"\\")

_BLANKS = re.compile(r"[ \t]*")

_UP_TO_A_HOLE = re.compile("[^\0]+")

_COMMENT = re.compile("[^\0\n]+")

_MOST_OPEN = 50

_MOST_DOCUMENTS = 10


@lru_cache(maxsize=1024)
def scan(line: str) -> ShellLine:
    """The parts of a shell line, in time proportional to its length."""
    texts: list[str] = []
    holes, at = {}, 0
    for piece, name, offset in pieces_of(line):
        if name is not None:
            holes[at] = (name, offset)
        texts.append(HOLE if name is not None else piece.replace(HOLE, "\ufffd"))
        at += len(texts[-1])
    scanner = _Scanner("".join(texts), holes)
    scanner.run()
    return ShellLine(tuple(scanner.parts), scanner.ending(), scanner.hides_failures())


# --- the line --------------------------------------------------------------------------------------------------------


class _Kind(Enum):
    CODE = auto()
    DOUBLE = auto()
    SINGLE = auto()
    PARAMETER = auto()
    ARITHMETIC = auto()
    HERE = auto()


_RUNS = {
    _Kind.CODE: re.compile(r"""[^\0\\'"`$\[ \t\n;&|()<>#]+"""),
    _Kind.DOUBLE: re.compile(r"""[^"\0\\$`\n]+"""),
    _Kind.SINGLE: re.compile(r"""[^'\0\\`\n]+"""),
    _Kind.PARAMETER: re.compile(r"""[^}\0'"\\$`\n]+"""),
    _Kind.ARITHMETIC: re.compile(r"""[^\0()$'"\\`\n#]+"""),
    _Kind.HERE: re.compile(r"""[^\0\\$`]+"""),
}
"""Characters without a special meaning, by the kind of text around them."""


@dataclass
class _Frame:
    """Something open: `end` closes it. `unsure` is why values in it cannot be quoted.

    For code: the `words` of the command so far, those of the whole `line`, the start of the current word, whether that
    is the target of a redirection, whether the command reads a pipe, and the number of parts before the frame.
    `bracketed`: the start of a word with a bracket in it. `known`: cached results about these words.
    """

    kind: _Kind
    end: str = ""
    unsure: str | None = None
    depth: int = 0
    words: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    start: int | None = None
    is_target: bool = False
    is_piped: bool = False
    begin: int = 0
    bracketed: int | None = None
    documents: list[tuple[str, bool, bool]] = field(default_factory=list)
    known: dict[str, Code | None] = field(default_factory=dict)

    def add(self, word: str) -> None:
        self.words.append(word)
        self.known.clear()

    def clear(self) -> None:
        self.words.clear()
        self.known.clear()

    def reads_next_word(self) -> Code | None:
        """Who reads the next word as code."""
        if "word" not in self.known:
            self.known["word"] = code_read_by_command(self.words) if self.words else None
        return self.known["word"]

    def reads_input(self) -> Code | None:
        """Who reads the input of the command as code."""
        if "input" not in self.known:
            self.known["input"] = code_read_from_input(self.words) if self.words else None
        return self.known["input"]


class _Scanner:
    """Walks through a text in which every placeholder is a single character."""

    def __init__(
        self, text: str, holes: Mapping[int, tuple[str, int]], *, document: str | None = None, nested: int = 0
    ) -> None:
        """`document`: the text is the body of a here-document with that delimiter.

        `_backticks`, `_quotes`: how many are open. `_sure`: which parts are placeholders without a reason.
        `_word_end`, `_line`: the ends of the word and the line with the last placeholder, for others in them.
        """
        self.parts: list[Part] = []
        self._texts: list[str] = []
        self._text = text
        self._holes = holes
        self._places = list(holes)
        self._at = 0
        self._backticks, self._quotes = 0, int(document is not None)
        self._sure: list[int] = []
        self._word_end = -1
        self._line = (0, -1)
        self._line_text = ""
        self._document = document
        self._nested = nested
        self._lost: str | None = None
        self._code_reader: Code | None = None
        self._ends_in: str | None = None
        self._has_pipe = self._has_lines = False
        self._frames = [_Frame(_Kind.CODE if document is None else _Kind.HERE)]
        self._steps = {
            _Kind.CODE: self._code,
            _Kind.DOUBLE: self._double,
            _Kind.SINGLE: self._single,
            _Kind.PARAMETER: self._parameter,
            _Kind.ARITHMETIC: self._arithmetic,
            _Kind.HERE: self._here,
        }
        self._steps_in_code: dict[str, Callable[[], None]] = {
            HOLE: self._hole_in_code,
            "\\": self._escape_in_code,
            "'": lambda: self._push(_Kind.SINGLE, "'", 1),
            '"': lambda: self._push(_Kind.DOUBLE, '"', 1),
            "`": self._backtick_in_code,
            "$": lambda: self._dollar(Style.WORD, quoted=False),
        }

    def run(self) -> None:
        while self._at < len(self._text):
            frame = self._frames[-1]
            if run := _RUNS[frame.kind].match(self._text, self._at):
                if frame.start is None and frame.kind is _Kind.CODE:
                    frame.start = self._at
                self._take(run.end() - self._at)
            else:
                self._steps[frame.kind](self._text[self._at])
        for frame in reversed(self._frames):
            self._end_word(frame)
            self._end_command(frame)
        self._end_text()

    @property
    def is_closed(self) -> bool:
        top = self._frames[-1]
        return len(self._frames) == 1 and not top.documents and self._lost is None

    @property
    def _is_outermost(self) -> bool:
        return len(self._frames) == 1 and not self._nested

    def ending(self) -> str | None:
        if self._ends_in is not None:
            return self._ends_in
        if len(self._frames) > 1:
            return "something is still open at its end"
        if self._frames[0].documents:
            return "a here-document starts at its end"
        code = re.sub(r"\\\n", "", self._text).rstrip()
        if code.endswith((";", "&", "|")) and not code.endswith("\\" + code[-1]):
            return f"it ends in '{code[-1]}'"
        return None

    def hides_failures(self) -> HiddenBy | None:
        """Unless its own text prevents it. Code in `if` and loops is not examined."""
        if self._has_pipe and "pipefail" not in self._text:
            return "pipe"
        return "lines" if self._has_lines and not _HEEDS_FAILURES.search(self._text) else None

    # --- moving forward

    def _take(self, count: int = 1) -> None:
        self._emit(self._text[self._at : self._at + count])
        self._at += count

    def _emit(self, text: str) -> None:
        self._texts.append(text)

    def _emit_spot(self, spot: Spot) -> None:
        self._end_text()
        if spot.reason is None:
            self._sure.append(len(self.parts))
        self.parts.append(spot)

    def _end_text(self) -> None:
        if text := "".join(self._texts):
            self.parts.append(text)
        self._texts.clear()

    def _next(self, ahead: int = 1) -> str:
        at = self._at + ahead
        return self._text[at : at + 1]

    def _push(self, kind: _Kind, end: str, count: int, unsure: str | None = None) -> None:
        self._take(count)
        self._frames.append(_Frame(kind, end, unsure, begin=len(self.parts)))
        self._backticks += end == "`"
        self._quotes += kind is _Kind.DOUBLE
        if len(self._frames) > _MOST_OPEN:
            self._lose("nested too deeply in other code")
            self._as_it_is()

    def _pop(self, count: int = 1) -> None:
        if self._frames[-1].documents:
            self._lose("after a here-document inside $(…)")
        frame = self._frames.pop()
        self._backticks -= frame.end == "`"
        self._quotes -= frame.kind is _Kind.DOUBLE
        self._end_command(frame)
        self._take(count)

    def _lose(self, reason: str) -> None:
        """From here on it is not known for sure what is quoted."""
        self._lost = self._lost or reason

    # --- placeholders

    def _hole(self, style: Style, *, after_dollar: bool = False) -> None:
        name, offset = self._holes[self._at]
        reason = self._lost or next((frame.unsure for frame in self._frames if frame.unsure), None)
        code = self._code_reader or self._reads_as_code()
        if reason is not None:
            style = Style.ONLY_PLAIN
        elif code is not None:
            style = Style.ONLY_PLAIN if code is not Code.LANGUAGE else Style.ONLY_PLAIN_IN_A_LANGUAGE
            reason = reason_of(code)
        line = self._line_here() if self._document else ""
        self._emit_spot(
            Spot(name, offset, style, reason, self._backticks > 0, after_dollar, self._document or "", line)
        )
        self._at += 1

    def _line_here(self) -> str:
        if not self._line[0] <= self._at <= self._line[1]:
            begin, end = self._text.rfind("\n", 0, self._at) + 1, self._text.find("\n", self._at)
            self._line = (begin, end if end >= 0 else len(self._text))
            text = self._text[begin : self._line[1]]
            self._line_text = text if text.count(HOLE) == 1 else HOLES
        return self._line_text

    def _reads_as_code(self) -> Code | None:
        """Who reads the word with the placeholder as code, if anyone."""
        found = (frame.reads_next_word() for frame in self._frames)
        return next((code for code in found if code is not None), None)

    def _word_so_far(self) -> str:
        frame = self._frames[-1]
        return "" if frame.start is None else self._text[frame.start : self._at]

    def _hole_in_code(self, *, quoted: bool = False, after_dollar: bool = False) -> None:
        frame = self._frames[-1]
        frame.start = self._at if frame.start is None else frame.start
        before = self._text[self._at - 1 : self._at]
        is_bare = (not before or before in _BARE_AFTER) and not self._names_a_home(frame.start)
        if quoted or after_dollar or not is_bare or self._is_glued_to_a_redirection():
            self._hole(Style.QUOTED_WORD, after_dollar=after_dollar)
        else:
            self._hole(Style.WORD)

    def _names_a_home(self, start: int) -> bool:
        return start < self._at and self._text[start] == "~" and self._text.find("/", start, self._at) < 0

    def _is_glued_to_a_redirection(self) -> bool:
        if self._at >= self._word_end and (rest := _REST_OF_WORD.match(self._text, self._at + 1)):
            self._word_end = rest.end()
        return self._text[self._word_end : self._word_end + 1] in ("<", ">")

    # --- shared by all kinds

    def _dollar(self, style: Style, *, quoted: bool) -> None:
        """`$` and what it starts; `quoted`: inside double quotes or a here-document."""
        text, at, after = self._text, self._at, self._next()
        if after == HOLE:
            self._emit("\\$")
            self._at += 1
            if self._frames[-1].kind is _Kind.CODE:
                self._hole_in_code(after_dollar=True)
            else:
                self._hole(style, after_dollar=True)
        elif text.startswith("$((", at):
            self._push(_Kind.ARITHMETIC, "))", 3, "in $((…)), where only numbers stand")
        elif after == "(":
            self._push(_Kind.CODE, ")", 2)
        elif after == "{":
            self._braces(quoted=quoted)
        elif after == "[" or (after == "'" and not quoted):
            self._lose(f"after '${after}', which not every shell supports")
            self._take()
        elif after and after in "$@*#?!-":
            self._take(2)
        elif name := _VARIABLE.match(text, at):
            is_glued = text[name.end() : name.end() + 1] == HOLE
            self._emit(f"${{{name[1]}}}" if is_glued else name[0])
            self._at = name.end()
        else:
            self._take()

    def _braces(self, *, quoted: bool) -> None:
        if whole := _WHOLE_PARAMETER.match(self._text, self._at):
            self._take(len(whole[0]))
            return
        word = _PARAMETER_WITH_WORD.match(self._text, self._at)
        unsure = None if word and not quoted else "inside ${…}, where values cannot be quoted for every shell"
        self._push(_Kind.PARAMETER, "}", len(word[0]) if word else 2, unsure)

    def _backslash(self, kept: str) -> None:
        """A backslash with what it escapes. Before a placeholder it is replaced by `kept`."""
        if self._next() == HOLE:
            self._emit(kept)
            self._at += 1
        else:
            if self._backticks:
                self._lose("after a backslash inside `…`")
            self._take(2)

    def _backtick(self, *, unsure: str | None = None) -> None:
        if self._frames[-1].end == "`":
            self._pop()
        elif self._backticks:
            self._lose("where `…` ends inside other code")
            self._take()
        else:
            self._push(_Kind.CODE, "`", 1, unsure)

    # --- by kind

    def _code(self, character: str) -> None:
        frame = self._frames[-1]
        is_word = character not in " \t\n;&|()<>" and not (character == "#" and frame.start is None)
        if is_word and frame.start is None and character not in "\0`" and (character, self._next()) != ("\\", "\n"):
            frame.start = self._at
        if character in self._steps_in_code:
            self._steps_in_code[character]()
        elif is_word:
            if character == "[" and frame.bracketed != frame.start:
                self._bracket(frame)
            self._take()
        else:
            if character in "<>" and self._word_so_far().isdigit():  # as in 2>&1
                frame.start = None
            self._end_word(frame)
            self._between_words(character)

    def _bracket(self, frame: _Frame) -> None:
        """The first bracket of a word: after one, there is no name."""
        frame.bracketed = frame.start
        if _NAME.fullmatch(self._word_so_far()) and _sets_variables(frame.words):
            self._lose("after a subscript, which some shells evaluate")

    def _escape_in_code(self) -> None:
        if self._next() == HOLE:
            self._at += 1
            self._hole_in_code(quoted=True)
        else:
            self._backslash("")

    def _backtick_in_code(self) -> None:
        frame = self._frames[-1]
        if frame.end == "`":
            self._end_word(frame)
        elif frame.start is None:
            frame.start = self._at
        self._backtick()

    def _end_word(self, frame: _Frame) -> None:
        if frame.start is None:
            return
        word = self._text[frame.start : self._at].translate(_NO_QUOTES)
        frame.start = None
        if frame.is_target:
            frame.is_target = False
            return
        if not frame.words and word == "case" and frame.end:
            self._lose("after a 'case' inside other code")
        if frame.words or not (word in _BEFORE_A_COMMAND or _ASSIGNMENT.fullmatch(word)):
            frame.add(word)
            frame.line.append(word)

    def _end_command(self, frame: _Frame, *, pipes: bool = False) -> None:
        """If a shell reads a pipe as code, it is not known how values in that input must be quoted."""
        code = frame.reads_input() if frame.is_piped else None
        while code is not None and self._sure and self._sure[-1] >= frame.begin:
            at = self._sure.pop()
            self.parts[at] = _doubted(self.parts[at], code)
        frame.is_piped = pipes
        frame.clear()
        frame.is_target = False

    def _between_words(self, character: str) -> None:
        frame = self._frames[-1]
        if character == "#":
            self._comment()
        elif character == "\n":
            is_command = self._is_outermost and bool(frame.words)
            # after a pipe, the command that reads it may be on the next line
            self._end_command(frame, pipes=frame.is_piped and not frame.words)
            self._take()
            self._documents()
            self._has_lines = self._has_lines or (is_command and _CODE.match(self._text, self._at) is not None)
        elif character in ";&|":
            is_doubled = self._next() == character
            self._has_pipe |= self._is_outermost and character == "|" and not is_doubled
            self._end_command(frame, pipes=character == "|" and not is_doubled)
            self._take(2 if is_doubled else 1)
        elif character == "(":
            self._open(frame)
        elif character == ")":
            self._end_command(frame)
            self._pop() if frame.end == ")" else self._take()
        elif character in "<>":
            self._redirection(frame)
        elif blanks := _BLANKS.match(self._text, self._at):
            self._take(len(blanks[0]))

    def _redirection(self, frame: _Frame) -> None:
        if self._text.startswith("<<", self._at) and not self._text.startswith("<<<", self._at):
            self._here_document(frame)
            return
        frame.is_target = self._next() != "("
        is_here_string = self._text.startswith("<<<", self._at)
        if is_here_string:
            frame.add(HERE_STRING)
        self._take(3 if is_here_string else 2 if self._next() in ("&", ">", "|") else 1)

    def _open(self, frame: _Frame) -> None:
        before = self._text[self._at - 1 : self._at]
        unsure = None
        if before in "<>" and before:
            code = frame.reads_input()
            unsure = None if code is None else reason_of(code)
            self._push(_Kind.CODE, ")", 1, unsure)
            return
        if before == "=":
            self._lose("in or after an array, which not every shell supports")
        is_arithmetic = self._next() == "(" and not frame.words
        self._end_command(frame, pipes=frame.is_piped)
        if is_arithmetic:
            self._push(_Kind.ARITHMETIC, "))", 2, "in ((…)), which some shells evaluate")
        else:
            self._push(_Kind.CODE, ")", 1)
            self._frames[-1].is_piped, self._frames[-1].begin = frame.is_piped, frame.begin

    def _comment(self) -> None:
        if self._backticks:
            self._lose("after a comment inside `…`")
        while self._at < len(self._text) and self._text[self._at] != "\n":
            if text := _COMMENT.match(self._text, self._at):
                self._take(len(text[0]))
            else:
                name, offset = self._holes[self._at]
                self._emit_spot(Spot(name, offset, Style.COMMENT))
                self._at += 1
        if self._at == len(self._text):
            self._ends_in = "it ends in a comment"

    def _here_document(self, frame: _Frame) -> None:
        begin = _HERE_DOCUMENT.match(self._text, self._at)
        if begin is None or HOLE in begin[0] or frame.end == "`":
            self._lose("after a here-document whose end is not known")
            self._take(2)
            return
        delimiter = begin[2].translate(_NO_QUOTES)
        frame.documents.append((delimiter, delimiter != begin[2], begin[1] == "-"))
        self._take(len(begin[0]))

    def _documents(self) -> None:
        """The bodies of the here-documents that the previous line has started."""
        frame = self._frames[-1]
        code = code_read_from_input(frame.line) if frame.documents and frame.line else None
        code = code or (self._reads_as_code() if frame.documents else None)
        for delimiter, is_quoted, cuts_tabs in frame.documents:
            begin, end, after = self._at, len(self._text), len(self._text)
            for line in _LINE.finditer(self._text, self._at):
                if (line[1].lstrip("\t") if cuts_tabs else line[1]) == delimiter:
                    end, after = line.start(), line.end()
                    break
                if not is_quoted and (len(line[1]) - len(line[1].rstrip("\\"))) % 2:
                    self._lose("after a line of a here-document that ends in a backslash")
            self._body(begin, end, delimiter, is_quoted=is_quoted, code=code)
            self._at = end
            self._take(after - end)
            if self._at == len(self._text) and not self._text[end:].endswith("\n"):
                self._ends_in = "it ends in a here-document"
        frame.documents.clear()
        frame.line.clear()

    def _body(self, begin: int, end: int, delimiter: str, *, is_quoted: bool, code: Code | None) -> None:
        there = self._places[bisect_left(self._places, begin) : bisect_left(self._places, end)]
        holes = {at - begin: self._holes[at] for at in there}
        inner = _Scanner(self._text[begin:end], holes, document=delimiter, nested=self._nested + 1)
        inner._lost = self._lost or next((frame.unsure for frame in self._frames if frame.unsure), None)
        inner._code_reader = self._code_reader or code
        is_deep = self._nested > _MOST_DOCUMENTS
        if self._backticks or is_deep:
            inner._lose("in a here-document inside other code")
        if is_quoted or is_deep:
            inner._as_it_is()
            inner._end_text()
        else:
            inner.run()
            if not inner.is_closed:
                self._lose("after a here-document with something left open")
        for part in inner.parts:
            self._emit(part) if isinstance(part, str) else self._emit_spot(part)

    def _as_it_is(self) -> None:
        while self._at < len(self._text):
            if text := _UP_TO_A_HOLE.match(self._text, self._at):
                self._take(len(text[0]))
            else:
                self._hole(Style.HERE_AS_IT_IS)

    def _here(self, character: str) -> None:
        match character:
            case "\0":
                self._hole(Style.HERE)
            case "\\":
                self._backslash("\\\\")
            case "$":
                self._dollar(Style.HERE, quoted=True)
            case "`":
                self._backtick(unsure="in `…` inside a here-document")
            case _:
                self._take()

    def _double(self, character: str) -> None:
        match character:
            case '"':
                self._pop()
            case "\0":
                self._hole(Style.DOUBLE)
            case "\\":
                self._backslash("\\\\")
            case "$":
                self._dollar(Style.DOUBLE, quoted=True)
            case "`":
                self._backtick(unsure="in `…` inside double quotes")
            case _:
                self._newline_in_quotes(character)

    def _single(self, character: str) -> None:
        if character == "'":
            self._pop()
        elif character == HOLE:
            self._hole(Style.SINGLE)
        else:
            self._newline_in_quotes(character)

    def _newline_in_quotes(self, character: str) -> None:
        if character == "\n" and any(frame.documents for frame in self._frames):
            self._lose("after a here-document that starts before a quoted string of several lines")
        if character in "\\`" and self._backticks:
            self._lose("after a backslash inside `…`")
        self._take()

    def _parameter(self, character: str) -> None:
        is_quoted = self._quotes > 0
        if character in "'\"" and is_quoted:
            self._lose('after quotes inside "${…}"')
            self._take()
            return
        match character:
            case "}":
                self._pop()
            case "\0":
                self._hole(Style.QUOTED_WORD)
            case "'" | '"':
                self._push(_Kind.SINGLE if character == "'" else _Kind.DOUBLE, character, 1)
            case "\\":
                self._backslash("")
            case "$":
                self._dollar(Style.QUOTED_WORD, quoted=is_quoted)
            case "`":
                self._backtick(unsure="in `…` inside ${…}")
            case _:
                self._newline_in_quotes(character)

    def _arithmetic(self, character: str) -> None:
        frame = self._frames[-1]
        match character:
            case "\0":
                self._hole(Style.ONLY_PLAIN)
            case "(":
                frame.depth += 1
                self._take()
            case ")" if frame.depth:
                frame.depth -= 1
                self._take()
            case ")" if self._next() == ")":
                self._pop(2)
            case "$":
                self._dollar(Style.ONLY_PLAIN, quoted=True)
            case ")" | "'" | '"' | "\\" | "`" | "\n" | "#":
                self._lose("after '((', which is code or arithmetic")
                self._take()
            case _:
                self._take()


def _doubted(part: Part, code: Code) -> Part:
    style = Style.ONLY_PLAIN_IN_A_LANGUAGE if code is Code.LANGUAGE else Style.ONLY_PLAIN
    return part if isinstance(part, str) else replace(part, style=style, reason=reason_of(code))


def _sets_variables(words: list[str]) -> bool:
    return not words or words[0] in _SET_VARIABLES
