"""Numbers in the output of programs: which strings are numbers, and what to do about those that are not.

Only strings with a single meaning are read as numbers: decimals, also with Fortran's exponent letter D or with colours
around them, `nan` and infinity. Hints are tested: a regular expression, or a key of JSON, is only proposed if it works.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from rose_cli.loop.regex import is_quick, last_match
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_DECIMAL = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][-+]?\d+)?"
_NUMBER = re.compile(rf"{_DECIMAL}|[-+]?(?:inf|infinity|nan)", re.IGNORECASE | re.ASCII)
_COLOURS = re.compile(
    r"\x1b\[[\d;:]*m"  # colours
    r"|\x1b\[0?K|^\x1b\[\d?K"  # erases what follows, or an empty line
    r"|\x1b\[\?[\d;]*[hl]"  # switches terminal modes, such as the cursor
    r"|\x1b[()][0-9AB]|\x0f"  # character sets
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)",  # titles and hyperlinks
    re.MULTILINE | re.ASCII,
)
MOST_NAMED = 10
LONGEST_LINE = 1000
"""Longer lines are not searched for a number: that could take long."""


def cleaned(text: str) -> str:
    """The text as a person sees it: with uniform line ends, without colours and byte order marks.

    A sequence that moves the cursor stays: its effect on a screen is unknown here.
    """
    text = re.sub(r"\r+\n?", "\n", text)
    text = re.sub(r"^\ufeff", "", text, flags=re.MULTILINE) if "\ufeff" in text else text
    return _COLOURS.sub("", text) if "\x1b" in text or "\x0f" in text else text


def number_of(text: str) -> float | None:
    """The number that the whole text is; None if it is not a number."""
    text = text.strip()
    return float(text.lower().replace("d", "e")) if _NUMBER.fullmatch(text) else None


def last_line(text: str) -> str:
    """The last line of a cleaned text that is not blank."""
    return text.rstrip().rpartition("\n")[2]


@dataclass(frozen=True)
class Wanted:
    """What was expected: the metric's number, possibly a share from 0 to 1, from a file or standard output."""

    metric: str
    is_share: bool = False
    file: str | None = None

    def read(self, how: str) -> str:
        """The `read` that would find it."""
        return f"read: {{{f'file: {self.file}, ' if self.file else ''}{how}}}"

    def is_called(self, name: str) -> bool:
        """Whether the name may mean the metric: `mse` for `mean_squared_error_mse`, `val_mse` for `mse`."""
        mine, other = _folded(self.metric), _folded(name)
        return len(other) > 1 and (mine in other or other in mine)

    def is_just(self, name: str) -> bool:
        return _folded(self.metric) == _folded(name)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def advice_on_line(line: str, text: str, wanted: Wanted) -> str | None:
    """What to do if the last line of `text` is not a number."""
    if len(line) > LONGEST_LINE:
        return None
    if line.lstrip().startswith("{"):
        return _advice_on_object(line, wanted)
    return (
        advice_on_word(line.strip(), wanted)
        or _advice_on_words(line, wanted)
        or _advice_on_labelled(line, text, wanted)
        or _advice_on_others(line, text)
    )


def advice_on_regex(found: str, regex: str, text: str, wanted: Wanted) -> str | None:
    """What to do if a regular expression finds something that is not a number."""
    if len(found) > LONGEST_LINE:
        return None
    if (said := advice_on_word(found.strip(), wanted) or _advice_on_words(found, wanted)) is not None:
        return said
    for group in _GROUPS:
        better = regex.replace(r"(\S+)", group).replace("(.*)", group).replace("(.+)", group)
        there = last_match(better, text) if better != regex and is_quick(better, text) else None
        if there is not None and [token.value for token in _tokens(found)] == [number_of(there)]:
            return f"write {_quoted(better)}"
    return None


# --- one word that is meant to be a number --------------------------------------------------------------------------

_GROUPS = (r"(\S+)", r"([-+.\deE]+)", r"([-+]?[.\d]+)")
_DASHES = dict.fromkeys(map(ord, "\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d"), "-")
_BETWEEN = "[ '\u2019_\u00a0\u2009\u202f]"
_BLANKS = re.compile(rf"(?<=\d){_BETWEEN}(?=\d{{3}})")
_THOUSANDS = (re.compile(r"[-+]?\d{1,3}(,\d{3})+\.\d+"), re.compile(r"[-+]?\d{1,3}(\.\d{3})+,\d+"))
_COMMA = re.compile(r"([-+]?\d*),(\d+)(?:[eEdD][-+]?\d+)?", re.ASCII)
_LETTERLESS = re.compile(r"([-+]?\d*\.\d+|[-+]?\d+\.)([-+]\d{3})", re.ASCII)
_PERCENT = re.compile(rf"({_DECIMAL})\s*[%\u066a\uff05]", re.ASCII)
_NOTHING = {"none", "null", "na", "n/a", "-", "--", "undefined", "nil", "missing", "nodata"}


def advice_on_word(word: str, wanted: Wanted) -> str | None:
    """What to print instead of a word that means a number, in a form that is ambiguous or not accepted."""
    if len(word) > LONGEST_LINE:
        return None
    bare = _bare(word)
    if bare != word and number_of(bare) is not None:
        return f"print {bare} and nothing else"
    if word.casefold() in _NOTHING:
        return "print nan if there is no value"
    return (
        _advice_on_languages(word)
        or _advice_on_percent(word, wanted)
        or _advice_on_characters(word)
        or _unwrapped(word)
    )


def _bare(word: str) -> str:
    """Without quotes around it and punctuation after it."""
    return word.rstrip(".,;").strip("\"'`").rstrip(".,;")


def _advice_on_languages(word: str) -> str | None:
    if match := _LETTERLESS.fullmatch(word):
        meant = f"{match[1]}E{match[2]}"
        return f"Fortran may mean {meant}: leave room for the letter of the exponent, as the format ES24.16E3 does"
    if len(word) > 1 and not word.strip("*"):
        return "Fortran prints asterisks for a number that is too long for its field: make the field wider"
    if re.fullmatch(rf"\[1\]\s+{_DECIMAL}", word, re.ASCII):
        return 'R adds the [1]: print with cat(x, "\\n")'
    return None


def _advice_on_percent(word: str, wanted: Wanted) -> str | None:
    match = _PERCENT.fullmatch(word)
    value = number_of(match[1]) if match else None
    if value is None:
        return None
    shown = f"{value:.15g}"
    return f"print {value / 100:.15g} for {shown} %" if wanted.is_share else f"print {shown} without the %"


def _advice_on_characters(word: str) -> str | None:
    """Characters that programs do not understand: thousands separators, decimal commas, minus signs, other digits."""
    ascii_minus = word.translate(_DASHES)
    plain = _BLANKS.sub("", ascii_minus)
    if match := _COMMA.fullmatch(plain):
        also = (
            f" (or {plain.replace(',', '')}, if the comma separates thousands)"
            if len(match[2]) == 3 and match[1]
            else ""
        )
        return f"print {plain.replace(',', '.')}{also}: use a dot as the decimal separator"
    for pattern, thousands in zip(_THOUSANDS, ",.", strict=True):
        if pattern.fullmatch(plain):
            return f"print {plain.replace(thousands, '').replace(',', '.')}, without thousands separators"
    if number_of(plain) is not None:
        how = "without separators between digits" if plain != ascii_minus else "with an ASCII minus sign"
        return f"print {plain}, {how}"
    try:  # digits of other scripts, underscores, hexadecimal: Python understands them
        value = float.fromhex(plain) if "0x" in plain.lower() else float(plain)
    except (ValueError, OverflowError):
        return None
    return f"print {value:.15g}, in decimal and in ASCII digits"


_WRAPPED = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*)\((?P<inner>.*)\)|<.*numpy=(?P<shown>[^,>]*)>|(?P<bare>[\[(].*[\])])", re.DOTALL
)
_KINDS = re.compile(
    r"b?float\d*_?|u?int\d*|double|longdouble|half|single|decimal|fraction|mpf|(device)?array|\w*tensor|parameter|variable"
)


def _unwrapped(word: str) -> str | None:
    """`np.float64(0.5)`, `tensor([0.5], device='cuda:0')`, `[0.5]`, `(0.5+0j)`: how Python shows values."""
    match = _WRAPPED.fullmatch(word)
    if match is None:
        return None
    name = (match["name"] or "").rpartition(".")[2].casefold()
    if name and not _KINDS.fullmatch(name):
        return None
    shown = next(part for part in (match["inner"], match["shown"], match["bare"]) if part is not None)
    value = re.split(r",\s*(?=[a-z_]+\s*=)", shown)[0]
    items = [item for item in re.split(r"[\s,\[\]()'\"]+", value) if item]
    if re.fullmatch(r"\([^\s,]*j\)", value):
        return "print the real part: print(x.real)"
    if not items or any(number_of(item) is None for item in items):
        return None
    if len(items) > 1 and name != "fraction":
        return "print one number, not several"
    return f"print the number alone: {_bare_print(value, name, is_bare=match['bare'] is not None)}"


def _bare_print(value: str, name: str, *, is_bare: bool) -> str:
    """The call of `print` that shows only the number in `value`, which is inside `name(…)` or on its own."""
    if is_bare:
        return f"print(x{'[0]' * (len(value) - len(value.lstrip('[(')))})"
    has_item = value.startswith(("[", "(")) or not name or name.endswith("tensor")
    return f"{'print(x.item()) or ' if has_item else ''}print(float(x))"


def _advice_on_words(line: str, wanted: Wanted) -> str | None:
    """The same for the end of a line: `mse = 0,5`."""
    words = [word for word in re.split(r"[\s=:|]+", line) if word]
    if any(number_of(_bare(word)) is not None for word in words):
        return None
    return advice_on_word(words[-1], wanted) if words and re.search(r"\d", words[-1]) else None


# --- a number among words -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Token:
    """A number in a line; `before` is the text between the previous number and this one."""

    start: int
    end: int
    value: float
    before: str


_TOKEN = re.compile(r"[^\s=:,;|()\[\]{}<>\"'`]+")
_WITH_UNIT = re.compile(rf"({_DECIMAL})[^\W\d_]+", re.ASCII)
_GLUED = re.compile(r"(?<=\d)[^\s\w.=|\-+](?=\d)")


def _tokens(line: str) -> list[_Token]:
    """The numbers in a line; none if separators between digits make them ambiguous."""
    found: list[_Token] = []
    for match in _TOKEN.finditer(line) if not _GLUED.search(line) else ():
        unit = _WITH_UNIT.fullmatch(match[0])
        word = unit[1] if unit else match[0]
        value = number_of(word)
        if value is not None and math.isfinite(value):
            before = line[found[-1].end if found else 0 : match.start()]
            found.append(_Token(match.start(), match.start() + len(word), value, before))
    return found


def _advice_on_labelled(line: str, text: str, wanted: Wanted) -> str | None:
    """A regular expression that finds the metric's number, in this line and in the whole output."""
    token = _the_one(line, wanted)
    for regex in _regexes(line, token, wanted) if token else ():
        found = last_match(regex, text)
        if found is not None and token is not None and number_of(found) == token.value:
            return f"to read the number in this line, write {wanted.read(f'regex: {_quoted(regex)}')}"
    return None


def _the_one(line: str, wanted: Wanted) -> _Token | None:
    """The number with the metric's name, or the only number; None if it may be part of a longer one."""
    tokens = _tokens(line)
    named = [place for place, token in enumerate(tokens) if _name_in(token.before, wanted)]
    exact = [place for place in named if wanted.is_just(_name_in(tokens[place].before, wanted))]
    chosen = next((places[0] for places in (named, exact) if len(places) == 1), 0 if len(tokens) == 1 else None)
    if chosen is None:
        return None
    others = tokens[chosen + 1 : chosen + 2]  # `0.5 0.4`, `0.5 -> 0.4`, `1 000`: which of the two?
    return None if others and not re.search(r"[^\W\d_]", others[0].before) else tokens[chosen]


_WORD = re.compile(r"[^\W\d][\w./-]*")


def _name_in(before: str, wanted: Wanted) -> str:
    """The metric's name among the words before a number."""
    words: list[str] = _WORD.findall(before)
    return next((word for word in reversed(words) if wanted.is_called(word)), "")


def _regexes(line: str, token: _Token, wanted: Wanted) -> Iterator[str]:
    name = _name_in(token.before, wanted) or (_WORD.findall(token.before) or [""])[-1]
    label = token.before[token.before.rindex(name) :] if name else ""
    after = re.match(r"\s*\S+", line[token.end :])
    for group in _GROUPS:
        if label:
            yield _literal(label) + group
            yield r"\b" + _literal(label) + group
        elif after and token.before == line[: token.start]:
            yield "^" + _literal(token.before) + group + _literal(after[0])


def _literal(text: str) -> str:
    return re.sub(r"\s+", r"\\s+", re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text))


def _quoted(regex: str) -> str:
    return "'" + regex.replace("'", "''") + "'"


def _advice_on_others(line: str, text: str) -> str | None:
    """What to do if no regular expression finds it with certainty, or the number is in an earlier line."""
    if _tokens(line):
        return "print the value alone, as the last line"
    above = [each for each in text.splitlines() if number_of(each) is not None]
    return f"print the value last: '{above[-1].strip()[:40]}' is above it" if above else None


# --- JSON -----------------------------------------------------------------------------------------------------------


def _advice_on_object(line: str, wanted: Wanted) -> str | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        how = wanted.read("json: KEY")
        return f"this is not JSON: print it with print(json.dumps(…)) and write {how}"
    paths = list(number_paths(value))
    if not paths:
        return "there is no number in this JSON object"
    named = [path for path in paths if wanted.is_called(path.rpartition(".")[2])]
    exact = [path for path in named if wanted.is_just(path.rpartition(".")[2])]
    for found in (exact, named, paths):
        if len(found) == 1:
            return f"to read the number in this JSON object, write {wanted.read(f'json: {found[0]}')}"
    keys = ", ".join(paths[:MOST_NAMED])
    return f"to read a number in this JSON object, write {wanted.read('json: KEY')} with one of {keys}"


def number_paths(value: Any, above: str = "", depth: int = 0) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """The paths of numbers that `read: {json: …}` can find; in a list, only that of its last entry."""
    if depth > MOST_NAMED:
        return
    if isinstance(value, list):
        value = {"-1": value[-1]} if value else {}
    if isinstance(value, dict):
        for key, entry in value.items():
            if all(key.split(".")):
                yield from number_paths(entry, f"{above}.{key}" if above else key, depth + 1)
    elif above and number_of(json.dumps(value).strip('"')) is not None:
        yield above
