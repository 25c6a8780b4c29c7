"""Numbers in what programs print: which texts are one, and what to say of a text that is none.

Read as a number is what has one meaning only: decimals, Fortran's exponent letter D, colours around it, `nan` and
infinity. A hint never names what cannot help: a regular expression, or a key of JSON, is tried before it is proposed.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rose_cli.loop.regex import is_quick, last_match

if TYPE_CHECKING:
    from collections.abc import Iterator

_DECIMAL = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][-+]?\d+)?"
_NUMBER = re.compile(rf"{_DECIMAL}|[-+]?(?:inf|infinity|nan)", re.IGNORECASE | re.ASCII)
_COLOURS = re.compile(
    r"\x1b\[[\d;:]*m"  # colours
    r"|\x1b\[0?K|^\x1b\[\d?K"  # erase what follows, or a line on which nothing stands yet
    r"|\x1b\[\?[\d;]*[hl]"  # switches of the terminal, such as the cursor
    r"|\x1b[()][0-9AB]|\x0f"  # character sets
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)",  # titles and links
    re.MULTILINE | re.ASCII,
)
MOST_NAMED = 10
LONGEST_LINE = 1000
"""In longer ones nobody looks for a number, and a search could take long."""


def cleaned(text: str) -> str:
    """The text as a person sees it: every kind of line end is one, colours and byte order marks before lines are gone.

    A sequence that moves the cursor stays: what it would leave on a screen cannot be told from here.
    """
    text = re.sub(r"\r+\n?", "\n", text)
    text = re.sub(r"^\ufeff", "", text, flags=re.MULTILINE) if "\ufeff" in text else text
    return _COLOURS.sub("", text) if "\x1b" in text or "\x0f" in text else text


def number_of(text: str) -> float | None:
    """The number that the text is, and nothing else; None where it is none."""
    text = text.strip()
    return float(text.lower().replace("d", "e")) if _NUMBER.fullmatch(text) else None


def last_line(text: str) -> str:
    """The last line of a cleaned text that is not blank."""
    return text.rstrip().rpartition("\n")[2]


@dataclass(frozen=True)
class Wanted:
    """What the text should have been: the metric's number, a share from 0 to 1 or not, out of a file or output."""

    metric: str
    is_share: bool = False
    file: str | None = None

    def read(self, how: str) -> str:
        """The `read` that would find it."""
        return f"read: {{{f'file: {self.file}, ' if self.file else ''}{how}}}"

    def is_called(self, name: str) -> bool:
        """Whether the name may be the metric's: `mse` for `mean_squared_error_mse`, `val_mse` for `mse`."""
        mine, other = _folded(self.metric), _folded(name)
        return len(other) > 1 and (mine in other or other in mine)

    def is_just(self, name: str) -> bool:
        return _folded(self.metric) == _folded(name)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def advice_on_line(line: str, text: str, wanted: Wanted) -> str | None:
    """What helps where the last line of `text` is no number."""
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
    """What helps where a regular expression finds something that is no number."""
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
    """What to print where the word is a number in a form that has no single meaning, or is none by its look alone."""
    if len(word) > LONGEST_LINE:
        return None
    bare = _bare(word)
    if bare != word and number_of(bare) is not None:
        return f"print {bare} and nothing else"
    if word.casefold() in _NOTHING:
        return "print nan where there is no value"
    return _advice_on_languages(word) or _advice_on_percent(word, wanted) or _advice_on_signs(word) or _unwrapped(word)


def _bare(word: str) -> str:
    """Without quotes around it and a sign of punctuation after it."""
    return word.rstrip(".,;").strip("\"'`").rstrip(".,;")


def _advice_on_languages(word: str) -> str | None:
    if match := _LETTERLESS.fullmatch(word):
        meant = f"{match[1]}E{match[2]}"
        return f"Fortran may mean {meant}: give the exponent room for its letter, as in the format ES24.16E3"
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


def _advice_on_signs(word: str) -> str | None:
    """Other signs than a program understands: for thousands, for the decimal point, for minus; other digits."""
    ascii_minus = word.translate(_DASHES)
    plain = _BLANKS.sub("", ascii_minus)
    if match := _COMMA.fullmatch(plain):
        also = (
            f" (or {plain.replace(',', '')}, if the comma parts thousands)" if len(match[2]) == 3 and match[1] else ""
        )
        return f"print {plain.replace(',', '.')}{also}: the decimal sign is a point"
    for pattern, thousands in zip(_THOUSANDS, ",.", strict=True):
        if pattern.fullmatch(plain):
            return f"print {plain.replace(thousands, '').replace(',', '.')}, without signs between thousands"
    if number_of(plain) is not None:
        return (
            f"print {plain}, {'without signs between digits' if plain != ascii_minus else 'with an ASCII minus sign'}"
        )
    try:  # digits of other scripts, underscores, hexadecimal: Python knows what they mean
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
    """The call of `print` that shows the number in `value`, which stands in `name(…)`, or by itself."""
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
    """A number in a line, with what stands between the number before it and itself."""

    start: int
    end: int
    value: float
    before: str


_TOKEN = re.compile(r"[^\s=:,;|()\[\]{}<>\"'`]+")
_WITH_UNIT = re.compile(rf"({_DECIMAL})[^\W\d_]+", re.ASCII)
_GLUED = re.compile(r"(?<=\d)[^\s\w.=|\-+](?=\d)")


def _tokens(line: str) -> list[_Token]:
    """The numbers of a line; none where signs between digits leave it open what they are."""
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
    """A regular expression that finds the metric's number in the line, and in all that was printed."""
    token = _the_one(line, wanted)
    for regex in _regexes(line, token, wanted) if token else ():
        found = last_match(regex, text)
        if found is not None and token is not None and number_of(found) == token.value:
            return f"for the number in this line write {wanted.read(f'regex: {_quoted(regex)}')}"
    return None


def _the_one(line: str, wanted: Wanted) -> _Token | None:
    """The number that bears the metric's name, or the only one; not where it may be a part of a longer one."""
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
    """Where no regular expression is sure to find it, or the number stands in an earlier line."""
    if _tokens(line):
        return "print the value alone, as the last line"
    above = [each for each in text.splitlines() if number_of(each) is not None]
    return f"print the value last: '{above[-1].strip()[:40]}' stands above it" if above else None


# --- JSON -----------------------------------------------------------------------------------------------------------


def _advice_on_object(line: str, wanted: Wanted) -> str | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        how = wanted.read("json: KEY")
        return f"this is not JSON, as print(json.dumps(…)) writes it; with that, write {how}"
    paths = list(number_paths(value))
    if not paths:
        return "there is no number in this JSON object"
    named = [path for path in paths if wanted.is_called(path.rpartition(".")[2])]
    exact = [path for path in named if wanted.is_just(path.rpartition(".")[2])]
    for found in (exact, named, paths):
        if len(found) == 1:
            return f"for the number in this JSON object write {wanted.read(f'json: {found[0]}')}"
    keys = ", ".join(paths[:MOST_NAMED])
    return f"for a number in this JSON object write {wanted.read('json: KEY')} with one of {keys}"


def number_paths(value: Any, above: str = "", depth: int = 0) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """The paths to numbers that `read: {json: …}` can name; of a list the one to its last entry."""
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
