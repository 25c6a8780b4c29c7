"""Secrets in texts: what counts as one, where they stand in commands and variables, and texts without them.

A secret is known by the name it goes by (`HF_TOKEN=…`, `--api-key …`, `Authorization: …`) or by its form (a private
key, a URL with a password). It is masked where it stands, and its value wherever else it turns up: as it is, and the
way programs print it, which may be escaped, encoded, wrapped over lines or cut.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
import shlex
import sys
from bisect import bisect_right
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MASK = "********"
SHORTEST = 4
"""Shorter values are masked where they stand only: elsewhere they would be found in every second word."""
SHORTEST_IN_WORDS = 8
"""Shorter ones are looked for as words of their own only."""
SHORTEST_LINE = 6
"""Of a secret with several lines, each that is not shorter is a secret of its own."""

# --- names -----------------------------------------------------------------------------------------------------------

NONE, DOUBTFUL, WEAK, STRONG, CERTAIN = range(5)
"""What a name says of its value: nothing; a secret unless it is a word or an identifier; unless it is an everyday word
or a number; unless it is a small number; a secret."""

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_CERTAIN_PARTS = re.compile(
    "PASSWORD|PASSWD|PASSPHRASE|PASSCODE|CREDENTIAL|(?:API|ACCESS|PRIVATE|SECRET|ACCOUNT|STORAGE|MASTER|SIGNING|ENCRYPTION)KEY"
    "|AUTHKEY|AUTHTOKEN|STORAGESAS|SECRET(?!ION|AR[YI]|OR[YI]|IVE|ED$|ES$)"
)
_STRONG_WORDS = frozenset(("JWT", "JWTS", "CRED", "CREDS", "BEARER", "AUTHORIZATION", "WEBHOOK", "WEBHOOKS", "PWDS"))
_WEAK_WORDS = frozenset(("PAT", "PATS", "AUTH", "PASS", "COOKIE", "COOKIES", "OTP"))
_HARMLESS_ENDS = frozenset(
    ("FILE", "FILES", "FILENAME", "PATH", "PATHS", "DIR", "DIRS", "DIRECTORY", "FOLDER", "SOCK", "SOCKET", "URL",
     "URI", "ENDPOINT", "HOST", "HOSTNAME", "SERVER", "PORT", "NAME", "NAMES", "TYPE", "TYPES", "METHOD", "MODE",
     "ALGORITHM", "LENGTH", "LEN", "SIZE", "COUNT", "COUNTER", "LIMIT", "LIMITS", "TTL", "TIMEOUT", "EXPIRY",
     "EXPIRES", "EXPIRATION", "LIFETIME", "AGE", "VERSION", "FORMAT", "PREFIX", "SUFFIX", "ENABLED", "DISABLED",
     "REQUIRED", "COMMAND", "CMD", "PROVIDER", "ISSUER", "AUDIENCE", "SCOPE", "SCOPES", "REGION", "POLICY", "INDEX",
     "RATE", "MANAGER", "BACKEND", "REALM", "SERVICE", "FIELD", "COLUMN", "ARN", "DIM", "DIMS", "RING", "STORE",
     "TAB", "MAP", "HELPER", "STDIN")
)  # fmt: skip
_BESIDE_QUANTITIES = frozenset(
    ("MAX", "MIN", "NUM", "N", "NUMBER", "TOTAL", "NEW", "PER", "COUNT", "EOS", "BOS", "PAD", "UNK", "CLS", "SEP",
     "MASK", "STOP", "START", "END", "SPECIAL", "PROMPT", "COMPLETION", "INPUT", "OUTPUT", "CONTEXT", "EMBEDDING",
     "EMBED", "VOCAB", "TYPE", "IDS", "SORT", "PRIMARY", "FOREIGN", "PUBLIC", "PUB", "CACHE", "GROUP", "PARTITION",
     "ROW", "LOOKUP", "JSON", "METRIC", "RNG", "PRNG", "HOT", "DICT", "HIGH", "LOW", "BAND", "ALL", "BY", "FIRST",
     "SECOND", "FORWARD", "BACKWARD", "SINGLE", "MULTI", "RATE", "THROUGH", "ORDER", "MERGE", "JOIN", "QUERY",
     "VALUE", "ATTENTION")
)  # fmt: skip
"""Beside them a token, key or pass is one of a language model, a table, a filter, not one that opens a door."""
_JOINED_TOKEN = re.compile(r"(?<!.MAX)(?<!.MIN)(?<!.NUM)(?<!SUB)TOKENS?$")
_JOINED_PASS = re.compile(
    r"(?<!^COM)(?<!^BY)(?<!TRES)(?<!SUR)(?<!ENCOM)(?<!OVER)(?<!UNDER)(?<!HIGH)(?<!LOW)(?<!BAND)(?<!ASK)PASS$"
)
_JOINED_KEY = re.compile(r"(?:API|SSH|AUTH|ACCESS|SECRET|PRIVATE|PASS|OPENAI|HF|LICENSE|GPG|RSA|APP|HOST|DEPLOY)KEYS?$")
_NO_SECRETS = frozenset(("PWD", "OLDPWD", "GOOGLE_APPLICATION_CREDENTIALS", "SINGULARITY_PWD", "APPTAINER_PWD"))


def is_secret(name: str) -> bool:
    """Whether a variable, an option or a key of this name is taken to hold a secret."""
    return strength(name) > NONE


@lru_cache(maxsize=4096)
def strength(name: str) -> int:
    """What the name says, by its words: between `_`, `-` and points, or where a capital begins one."""
    last = name.strip("\"'").rpartition(".")[2] if not name.startswith(".") else name
    words = [word.upper() for word in _WORDS.findall(last)]
    is_known = last.upper() in _NO_SECRETS and last != "pwd"  # `$PWD` is a folder, `--pwd` may be a password
    if not words or is_known or (words[-1] in _HARMLESS_ENDS and "WEBHOOK" not in words):
        return NONE
    if _CERTAIN_PARTS.search("".join(words)):
        return CERTAIN
    if not _BESIDE_QUANTITIES.isdisjoint(words):
        return NONE
    if any(word in _STRONG_WORDS or _is_strong(word, words) for word in words):
        return STRONG
    is_weak = any(word in _WEAK_WORDS or word == "TOKENS" or _JOINED_KEY.search(word) for word in words)
    if is_weak or (words[-1] == "PW" and len(words) > 1):
        return WEAK
    is_doubtful = words in (["PW"], ["PWD"]) or any(word in ("KEY", "KEYS", "TOKEN") for word in words)
    return DOUBTFUL if is_doubtful else NONE


def _is_strong(word: str, words: Sequence[str]) -> bool:
    if word.endswith(("TOKEN", "TOKENS")):
        is_last = word == words[-1] or len(word) > len("TOKEN")  # `--token-mixer attention`
        return word != "TOKENS" and is_last and _JOINED_TOKEN.search(f".{word}") is not None
    if word.endswith("PWD"):
        return word != "PWD" or len(words) > 1
    return word.endswith("PASS") and (word != "PASS" or len(words) > 1) and _JOINED_PASS.search(word) is not None


# --- values ----------------------------------------------------------------------------------------------------------

_SWITCHES = frozenset(("true", "false", "yes", "no", "on", "off", "none", "null", "nil", "0", "1", "-", "undefined"))
_EVERYDAY = frozenset(
    ("admin", "anonymous", "auth", "basic", "bearer", "changeme", "data", "default", "demo", "disabled", "enabled",
     "example", "guest", "localhost", "main", "mongo", "mysql", "oauth2", "optional", "pass", "passwd", "password",
     "postgres", "postgresql", "prompt", "python", "redis", "required", "root", "rose", "secret", "test", "token",
     "user", "username", "value", "x-access-token", "x-oauth-basic", *_SWITCHES)
)  # fmt: skip
"""Words that texts are full of: nobody would be served by a mask in their place."""
_IDENTIFIER = re.compile(r"[A-Za-z]+(?:[_.-][A-Za-z]+)*[_.-]?\d{0,3}")
_A_NUMBER = re.compile(r"[-+]?[\d.,]{1,8}(?:[eE][-+]?\d+)?")
_NUMBERS = {
    DOUBTFUL: _A_NUMBER,
    WEAK: _A_NUMBER,
    STRONG: re.compile(r"[-+]?(?:\d{1,5}|\d*\.\d*(?:[eE][-+]?\d+)?)"),
}
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_KNOWN_FORM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:[^-]|-(?!----END ))*(?:-----END [A-Z0-9 ]*PRIVATE KEY-----)?"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}"
    r"|xox[abeoprs]-[\w-]{10,}|AKIA[A-Z0-9]{16}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,}|dckr_pat_[\w-]{20,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|AIza[\w-]{35}|SG\.[\w-]{20,}\.[\w-]{20,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+"
)
_LIKE_A_KEY = re.compile(r"(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/=_-]{16,}|[0-9a-f]{24,}")
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])\S{8,}|\S{20,}")


def _holds_secret(level: int, value: str) -> bool:
    """Whether the value of a name of that strength is one."""
    folded = value.strip().casefold()
    if level == NONE or not folded or folded in _SWITCHES or set(value) == {"*"}:
        return False
    if level <= WEAK and (folded in _EVERYDAY or (level == DOUBTFUL and _IDENTIFIER.fullmatch(value))):
        return False
    if level in _NUMBERS and _NUMBERS[level].fullmatch(folded):
        return False
    return not _is_path(value)


def _option_holds_secret(name: str, value: str) -> bool:
    """`--keys x1,y1,z1` and `--pass 2` are no secrets, `--api-key …` is."""
    level = strength(name)
    if level <= WEAK and not re.search(r"\w[_-]\w", name) and not _LIKE_A_KEY.fullmatch(value):
        return False
    return _holds_secret(level, value)


def _is_path(value: str) -> bool:
    """The name of a file with a secret is none: it is there, or the folder for it is."""
    if not value.startswith(("/", "~/", "./", "../")) or "\n" in value or len(value) > 4096:
        return False
    try:
        path = os.path.expanduser(value)  # noqa: PTH111
        folder = os.path.dirname(path)  # noqa: PTH120
        return value[0] == "." or os.path.exists(path) or (folder != "/" and os.path.isdir(folder))  # noqa: PTH110, PTH112
    except ValueError:
        return False


def _is_searched(value: str) -> bool:
    """Whether it is looked for in texts."""
    if len(value) < SHORTEST or value.casefold() in _EVERYDAY:
        return False
    return len(value) >= SHORTEST_LINE or not value.isdigit()


def _parts(value: str, level: int = STRONG) -> Iterator[str]:
    """The secrets that a secret value consists of: itself, its lines, what a JSON text or a URL holds."""
    yield value
    yield from (line for line in map(str.strip, value.splitlines()) if len(line) >= SHORTEST_LINE and line != value)
    if value.lstrip().startswith(("{", "[")):
        yield from _leaves(value)
    scheme, _, rest = value.partition(" ")
    if rest and scheme.casefold() in ("basic", "bearer", "token"):
        yield from _parts(rest.strip())
        yield from _of_basic(rest.strip())
    if level <= WEAK:  # several in one text, as plural names have them; `user:password`
        yield from (part for part in re.split(r"[\s,;:]+", value) if len(part) >= SHORTEST_IN_WORDS)
    yield from (value[start:end] for start, end, _ in _in_urls(value))


def _of_basic(encoded: str) -> Iterator[str]:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (ValueError, binascii.Error):
        return
    if colon and user.isprintable():
        yield password


def _leaves(text: str) -> Iterator[str]:
    """The texts in a JSON text under names of secrets."""
    try:
        found = [json.loads(text)]
    except (ValueError, RecursionError):  # YAML, most likely
        yield from re.findall(rf"[^\s{{}}\[\],:'\"]{{{SHORTEST_IN_WORDS},}}", text)
        return
    while found:
        value = found.pop()
        if isinstance(value, dict):
            for name, entry in value.items():
                if isinstance(entry, str) and _holds_secret(strength(str(name)), entry):
                    yield entry
                    yield from _parts(entry)
                found.append(entry)
        elif isinstance(value, list):
            found += value


# --- secrets in lines of text ----------------------------------------------------------------------------------------

_WORD = r"""(?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"`\\;&|<>()])+"""
_A_WORD = re.compile(_WORD)
_A_SCALAR = re.compile(
    r"""(?!//)(?:(?:Basic|Bearer|Token|ApiKey)\s+)?(?P<value>"(?:[^"\\]|\\.)+"|'[^']+'|[^\s'",}\]]+)""", re.IGNORECASE
)
_ASSIGNED = re.compile(r"""(?<![\w$.])(-{0,2}[A-Za-z_][\w.\-]{0,100}(?:\."[^"=]{0,100}")?)\+?=""")
_OPTION = re.compile(r"""(?<![^\s\['"(,])(-{1,2}[A-Za-z][\w.-]*|\bsetenv\s+\w+)['"]?,?\s+(?!-)""")
_KEY = re.compile(r"""(?<![\w$.])["']?(-{0,2}[A-Za-z_][\w.-]{0,100})["']?\s*:\s*""")
_NAMED = ((_ASSIGNED, _A_WORD), (_OPTION, _A_WORD), (_KEY, _A_SCALAR))
_LOGIN = re.compile(
    rf"""\b(?:curl|wget|https?|xh)\b[^|;&\n]{{0,1000}}?\s(?:-u|-U|--user|--proxy-user)[\s=]*['"]?[^\s:'"]+:(?P<login>[^\s'"]+)"""
    rf"""|\bsshpass\s+-p\s*(?P<sshpass>{_WORD})|\b(?:mysql|mysqldump|mysqladmin|mariadb)\b[^|;&\n]{{0,1000}}?\s-p(?P<mysql>{_WORD})"""
)
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30})://(?P<user>[^\s/?#'\"<>@:]*)(?::(?P<password>[^\s/?#'\"<>@]*))?@"
)
_HEADER = re.compile(r"(?i)\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|token)\s+)?(?P<value>[^\s'\",}]+)")

_SIGN = re.compile(
    r"(?i)pass|pwd|pw\b|secret|token|key|auth|cred|jwt|pat|cookie|otp|webhook|bearer|login|://|curl|wget|http|xh\b|mysql|maria"
    r"|gh[pousr]_|glpat-|hf_|sk-|[sr]k_|AIza|dckr_|SG\.|storage|xox|AKIA|npm_|pypi-|eyJ|BEGIN"
)
"""What every text with a secret of its own has: most have none of it."""

Found = tuple[int, int, str]
"""From where to where a secret stands, and its value without quotes."""


def _found(text: str, least: int = DOUBTFUL, *, by_shell: bool = True) -> Iterator[Found]:
    """Secrets under names that say so at least that much, in a text of pairs, or one that a shell may read."""
    if _SIGN.search(text):
        for names, values in _NAMED:
            yield from _under_names(text, names, values, least, by_shell=by_shell)
        for match in _LOGIN.finditer(text):
            group = match.lastgroup or ""
            if (value := _read_by_shell(match[group])) and not value.isdigit():
                yield match.start(group), match.end(group), value
        yield from _in_urls(text)
        yield from _in_known_forms(text)


def _under_names(
    text: str, names: re.Pattern[str], values: re.Pattern[str], least: int, *, by_shell: bool
) -> Iterator[Found]:
    end = 0
    for match in names.finditer(text):
        name = match[1].rpartition(" ")[2]
        level = strength(name)
        if level < least or match.start() < end or (given := values.match(text, match.end())) is None:
            continue
        start, end = given.span(values.groups)
        value = _read_by_shell(text[start:end]) if by_shell else text[start:end].strip("'\"")
        if _option_holds_secret(name, value) if names is _OPTION else _holds_secret(level, value):
            yield start, end, value


def _read_by_shell(word: str) -> str:
    """The value of a word as a shell reads it; empty where that is a `$VARIABLE`."""
    if word.startswith(("$", '"$', '"`')):
        return ""
    try:
        return " ".join(shlex.split(word)) if word[:1] in "'\"" or "\\" in word else word
    except ValueError:
        return word.strip("'\"")


def _in_urls(text: str) -> Iterator[Found]:
    for match in _URL.finditer(text) if "://" in text else ():
        if match["password"]:
            yield *match.span("password"), match["password"]
        # `ssh://git@host` names a user; `https://token@host` is a secret most often, and `https://token:x-oauth-basic@`
        is_web = match["scheme"].casefold() in ("http", "https")
        if match["user"] and is_web and (not match["password"] or _RANDOM.fullmatch(match["user"])):
            yield *match.span("user"), match["user"]


def _in_known_forms(text: str) -> Iterator[Found]:
    yield from ((match.start(), match.end(), match.group()) for match in _KNOWN_FORM.finditer(text))


def _is_user(text: str, start: int, value: str) -> bool:
    """Whether it is the user of a URL that looks like a name: masked there, and not looked for elsewhere."""
    return text[:start].endswith("://") and not _RANDOM.fullmatch(value)


@lru_cache(maxsize=4096)
def secrets_in(text: str, least: int = DOUBTFUL) -> frozenset[str]:
    """The values of the secrets that stand in a text."""
    values = {value for start, _, value in _found(text, least) if not _is_user(text, start, value)}
    values |= {text} if _PRIVATE_KEY.search(text) else set()
    return frozenset(part for value in values for part in (*_parts(value), unquote(value)))


def masked_line(text: str) -> str:
    """The text with a mask where a secret stands."""
    return _replaced(text, [(start, end) for start, end, _ in _found(text)])


def secrets_of_words(words: Sequence[str]) -> frozenset[str]:
    """The secrets among the words of a command line: the values of options, assignments, and what is in URLs."""
    return frozenset(part for previous, word in _in_pairs(words) for part in _of_word(previous, word))


def masked_words(words: Sequence[str], *, keep_length: bool = False) -> tuple[str, ...]:
    """The words of a command line with masks."""
    return tuple(
        _replaced(word, _spans_of_word(previous, word), keep_length=keep_length) for previous, word in _in_pairs(words)
    )


def masked_command(words: Sequence[str], secrets: Secrets) -> str:
    """A command line as it may be shown: masks in it need no quotes."""
    shown = [secrets.masked(word).replace(MASK, _STAND_IN) for word in masked_words(words)]
    return shlex.join(shown).replace(_STAND_IN, MASK)


_STAND_IN = "rose0has0masked0this"


def _in_pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(("", *words), words, strict=False)


def _of_word(previous: str, word: str) -> Iterable[str]:
    start = _start_in(previous, word)
    return secrets_in(word) if start is None else (*_parts(word[start:]), unquote(word[start:]))


def _spans_of_word(previous: str, word: str) -> list[tuple[int, int]]:
    start = _start_in(previous, word)
    return [(begin, end) for begin, end, _ in _found(word)] if start is None else [(start, len(word))]


_CODE_FOLLOWS = re.compile(r"-[A-Za-z]*c")


def _start_in(previous: str, word: str) -> int | None:
    """Where in a word of a command line the secret begins that it or the option before it names; no shell reads it."""
    is_option = previous.startswith("-") and "=" not in previous and " " not in previous
    if is_option and not word.startswith("-") and _option_holds_secret(previous, word):
        return 0
    match = None if _CODE_FOLLOWS.fullmatch(previous) else _ASSIGNED.match(word)
    return match.end() if match and _holds_secret(strength(match[1]), word[match.end() :]) else None


def masked_setting(text: str) -> str:
    """What was given on rose's own command line, `--set env.TOKEN=…`, as long as before."""
    return " ".join(masked_words(text.split(" ", 1), keep_length=True))


_ENTRY = re.compile(
    r"""[ \t]*(?:- +)*["']?(?P<name>-{0,2}[\w.-]+)["']?\s*:[ \t]+(?P<value>[^\n]*?)[ \t]*(?:[ \t]#.*)?$"""
)


def _in_document(text: str) -> Iterator[Found]:
    """Secrets in the text of a campaign file, however broken it may be: line by line."""
    at, block = 0, None
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" \t"))
        if block is not None and (indent > block or not line.strip()):
            yield at + indent, at + len(line.rstrip()), line.strip()
        else:
            block = None
            if _SIGN.search(line):
                yield from ((at + start, at + end, value) for start, end, value in _found(line, by_shell=False))
                entry = _ENTRY.match(line.rstrip("\r\n"))
                level = strength(entry["name"]) if entry else NONE
                if entry and level and entry["value"][:1] in ("|", ">"):
                    block = indent
                elif entry and _holds_secret(level, entry["value"]) and entry["value"][0] not in "{[&*!":
                    yield at + entry.start("value"), at + entry.end("value"), entry["value"].strip("'\"")
        at += len(line)


def masked_document(text: str) -> str:
    """The text of a campaign file, every line as long as before."""
    spans = [(start, end) for start, end, _ in _in_document(text) if end > start]
    return _replaced(text, spans, keep_length=True)


def secrets_of_document(text: str) -> frozenset[str]:
    return frozenset(part for _, _, value in _in_document(text) if value for part in _parts(value))


def secrets_of_environment(environment: Mapping[str, str]) -> frozenset[str]:
    """The secrets among variables."""
    return frozenset(part for name, value in environment.items() for part in _of_variable(name, value))


@lru_cache(maxsize=4096)
def _of_variable(name: str, value: str) -> frozenset[str]:
    level = strength(name)
    return frozenset(_parts(value, level)) if _holds_secret(level, value) else secrets_in(value, STRONG)


def masked_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables as they may be shown."""
    return {
        name: MASK if _holds_secret(strength(name), value) or _PRIVATE_KEY.search(value) else masked_line(value)
        for name, value in environment.items()
    }


def secrets_of_options(options: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        part
        for name, value in options.items()
        for entry in (value if isinstance(value, tuple | list) else (value,))
        for part in (_parts(str(entry)) if _is_secret_option(name, entry) else _of_text(entry))
    )


def _of_text(value: object) -> frozenset[str]:
    return secrets_in(value) if isinstance(value, str) else frozenset()


def masked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: type(value)(_masked_option(name, entry) for entry in value)
        if isinstance(value, tuple | list)
        else _masked_option(name, value)
        for name, value in options.items()
    }


def masked_entry(name: str, value: str) -> str:
    """The value of a key of a campaign file, be it a variable, an option or a line, as it may be shown."""
    return MASK if _option_holds_secret(name, value) or _holds_secret(strength(name), value) else masked_line(value)


def _masked_option(name: str, value: Any) -> Any:  # noqa: ANN401 - as it came
    if _is_secret_option(name, value):
        return MASK
    return masked_line(value) if isinstance(value, str) else value


def _is_secret_option(name: str, value: object) -> bool:
    return _option_holds_secret(name.removesuffix("="), str(value))


# --- texts without them ----------------------------------------------------------------------------------------------

_BLOCK = 12
_LONG = 16
"""As much of a secret that is not shorter gives it away, and of its beginning or end a block."""
_BREAK = re.compile(r"(?:\\[ \t]*|(?<![ \t\\])[ \t]*)(?:\r?\n[ \t]*)+")
_AS_BASE64 = re.compile(r"[A-Za-z0-9+/_=-]{0,4}")
_BEFORE_WORD = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\[\dm)|(?<=\[\d\dm)|(?<=\[\d;\d\dm))"
_AFTER_WORD = r"(?![A-Za-z0-9])"


class Secrets:
    """Texts that no output may hold. `hidden` gives a text, or something of texts, without them."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = frozenset(value for value in values if _is_searched(value))

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets.of(self.values | other.values) if other.values - self.values else self

    @staticmethod
    @lru_cache(maxsize=64)
    def of(values: frozenset[str]) -> Secrets:
        """The same object for the same values, as long as they are in use: what to look for is worked out once."""
        return Secrets(values)

    def hidden(self, value: Any) -> Any:  # noqa: ANN401 - as it came
        """The value with masks in the place of secrets; where there are none, the value itself."""
        if isinstance(value, str):
            return self.masked(value)
        texts = _texts_in(value)
        joined = _BETWEEN.join(texts)  # looked through at once
        spans = self._spans(joined)
        if not spans:
            return value
        shown = _replaced(joined, spans).split(_BETWEEN)
        if len(shown) != len(texts):  # one of them holds what stands between them
            shown = [self.masked(text) for text in texts]
        changed = {text: other for text, other in zip(texts, shown, strict=True) if text != other}
        return _mapped(value, lambda entry: changed.get(str(entry), entry) if entry is not None else None)

    def masked(self, text: str) -> str:
        return _replaced(text, self._spans(text))

    @cached_property
    def longest(self) -> int:
        """As many letters the longest form of one may have, with the line breaks that wrap it."""
        return max((len(form) for value in self.values for form in _as_text(value)), default=0) * 2

    def _spans(self, text: str) -> list[tuple[int, int]]:
        spans = [(start, end) for start, end, _ in _in_urls(text)]
        spans += [match.span("value") for match in _HEADER.finditer(text)]
        if self.values:
            spans += self._wanted.in_text(text)
            spans += [match.span() for match in self._words.finditer(text)] if self._words else []
            spans += self._wrapped(text) if "\n" in text else []
        return spans

    def _wrapped(self, text: str) -> list[tuple[int, int]]:
        """Secrets that were broken into lines: found in the text without its line breaks."""
        breaks = [match.span() for match in _BREAK.finditer(text)]
        gone = list(accumulate((end - start for start, end in breaks), initial=0))
        starts = [start - before for (start, _), before in zip(breaks, gone, strict=False)]  # in the text without
        joined = _BREAK.sub("", text)

        def place(at: int) -> int:
            return at + gone[bisect_right(starts, at)]

        return [(place(start), place(end - 1) + 1) for start, end in self._wanted.parts_in(joined)]

    @cached_property
    def _wanted(self) -> _Wanted:
        long_enough = (value for value in self.values if len(value) >= SHORTEST_IN_WORDS)
        forms = {form for value in long_enough for form in _as_text(value)}
        return _Wanted(forms | {form for value in self.values for form in _as_base64(value)})

    @cached_property
    def _words(self) -> re.Pattern[str] | None:
        short = {form for value in self.values if len(value) < SHORTEST_IN_WORDS for form in _as_text(value)}
        words = "|".join(map(re.escape, sorted(short, key=len, reverse=True)))
        return re.compile(f"{_BEFORE_WORD}(?:{words}){_AFTER_WORD}") if words else None


class _Wanted:
    """Forms to look for in texts: short ones as a whole, long ones by their blocks, so that parts are found too."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._short: list[tuple[str, bool]] = []
        self._blocks: dict[str, tuple[str, int, bool]] = {}
        for marked in forms:
            form, is_encoded = marked.removeprefix(_ENCODED), marked.startswith(_ENCODED)
            if len(form) < _LONG:
                self._short.append((form, is_encoded))
                continue
            step = _BLOCK if len(form) > 4 * _BLOCK else 4
            for at in (*range(0, len(form) - _BLOCK, step), len(form) - _BLOCK):
                self._blocks.setdefault(form[at : at + _BLOCK], (form, at, is_encoded))

    def in_text(self, text: str) -> Iterator[tuple[int, int]]:
        """From where to where they stand in it."""
        for form, is_encoded in self._short:
            start = text.find(form)
            while start >= 0:
                end = start + len(form)
                yield _with_edges(text, start, end) if is_encoded else (start, end)
                start = text.find(form, end)
        yield from self.parts_in(text)

    def parts_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Those of long forms only."""
        passed: dict[str, int] = {}
        for at in range(len(text) - _BLOCK + 1) if self._blocks else ():
            # forms that have a block in common differ in another one, and that is found as well
            if (found := self._blocks.get(text[at : at + _BLOCK])) is None or at < passed.get(found[0], 0):
                continue
            form, offset, is_encoded = found
            start, end = _extent(text, at, form, offset)
            passed[form] = end
            is_an_end = start == at - offset or end - at == len(form) - offset
            if is_an_end or end - start >= _LONG:
                yield _with_edges(text, start, end) if is_encoded else (start, end)


def _extent(text: str, at: int, form: str, offset: int) -> tuple[int, int]:
    """How far the text agrees with the form around the block that stands in it there."""
    start = at - _in_common(text[max(0, at - offset) : at][::-1], form[:offset][::-1])
    end = at + _BLOCK
    return start, end + _in_common(text[end : end + len(form)], form[offset + _BLOCK :])


def _with_edges(text: str, start: int, end: int) -> tuple[int, int]:
    """In base64 the letters beside a form have bits of it."""
    before = text[max(0, start - 4) : start]
    match = _AS_BASE64.match(text, end)
    return start - len(before) + len(before.rstrip(_BASE64_LETTERS)), match.end() if match else end


def _in_common(text: str, other: str) -> int:
    """How many letters both begin with."""
    if text == other:
        return len(other)
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] == other[:middle] else (low, middle - 1)
    return low


_ENCODED = "\0"
"""Marks a form in base64 until it is searched; no secret holds it."""
_BASE64_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"


@lru_cache(maxsize=4096)
def _as_text(value: str) -> frozenset[str]:
    """The value as it is, and as JSON, URLs, Python, HTML and shells write it."""
    escaped = json.dumps(value)[1:-1]
    plain = {value, value.strip(), value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")}
    plain |= {
        escaped,
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(escaped)[1:-1],
        escaped.replace("/", "\\/"),
    }
    plain |= {repr(value)[1:-1], ascii(value)[1:-1], value.replace("\\", "\\\\"), value.replace("'", "\\'")}
    plain |= {
        value.replace("\n", "\r\n"),
        value.replace("\n", "\\n"),
        html.escape(value),
        html.escape(value, quote=False),
    }
    bare = value.encode("utf-8", "surrogateescape")
    for written in (quote(bare), quote(bare, safe=""), quote(bare, safe="!*'()"), quote_plus(bare)):
        plain |= {written, re.sub("%..", lambda match: match[0].lower(), written)}
    plain |= {value.replace("'", "'\"'\"'"), value.replace("'", "'\\''"), re.sub(r'[$`"\\!]', r"\\\g<0>", value)}
    plain |= {re.sub(r"[^\w@%+=:,./\n-]", r"\\\g<0>", value), repr(bare)[2:-1], bare.hex(), bare.hex().upper()}
    return frozenset(form for form in plain if len(form) >= SHORTEST)


@lru_cache(maxsize=4096)
def _as_base64(value: str) -> frozenset[str]:
    """What is sure to stand in the base64 of any text that holds the value, wherever it begins in it."""
    data = value.encode("utf-8", "surrogateescape")
    forms = set()
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + data).decode("ascii")
        first = (0, 2, 3)[offset]
        last = (offset + len(data)) * 8 // 6
        forms |= {text[first:last], text[first:last].translate(_URL_SAFE)}
    return frozenset(_ENCODED + form for form in forms if len(form) >= SHORTEST_LINE)


_URL_SAFE = str.maketrans("+/", "-_")


def _replaced(text: str, spans: Iterable[tuple[int, int]], *, keep_length: bool = False) -> str:
    parts, at = [], 0
    for start, end in _merged(spans):
        parts += [text[at:start], "*" * (end - start) if keep_length else MASK]
        at = end
    return "".join((*parts, text[at:])) if at else text


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    last: tuple[int, int] | None = None
    for start, end in sorted(spans):
        if last is not None and start <= last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last is not None:
            yield last
        last = (start, end)
    if last is not None:
        yield last


_BETWEEN = " \0 \0 "


def _texts_in(value: Any) -> list[str]:  # noqa: ANN401 - of any depth
    """All texts and numbers in the value."""
    texts, waiting = [], [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            waiting += [*entry, *entry.values()]
        elif isinstance(entry, list | tuple):
            waiting += entry
        elif isinstance(entry, str | int | float):
            texts.append(str(entry))
    return texts


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - of any depth
    if isinstance(value, dict):
        changed: dict[Any, Any] = {}
        for key, entry in value.items():
            name, number = change(key), 2
            while name in changed:  # two keys of which only a secret tells one from the other
                name, number = f"{change(key)} ({number})", number + 1
            changed[name] = _mapped(entry, change)
        return changed
    if isinstance(value, list | tuple):
        return type(value)(_mapped(entry, change) for entry in value)
    return change(value)


# --- what this process has come to know ------------------------------------------------------------------------------

_sources: list[Callable[[], Iterable[str]]] = [
    lambda: secrets_of_environment(os.environ),
    lambda: secrets_of_words(sys.argv),
]


def remember(source: Callable[[], Iterable[str]]) -> None:
    """Secrets that messages of this process are not to hold; the source is asked only once there is a message."""
    _sources.append(source)
    _known.cache_clear()


def fit_to_show(text: str) -> str:
    """A message without the secrets that are known by now, those of the terminal and the command line included."""
    return _known().masked(text)


@lru_cache(maxsize=1)
def _known() -> Secrets:
    return Secrets(secret for source in _sources for secret in source())
