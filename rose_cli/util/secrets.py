"""Detects secrets: by the name of an option or variable, by the form of a value, and inside strings.

A secret is recognized by its name (`HF_TOKEN=…`, `--api-key …`, `Authorization: …`) or by its form (a private key, a
URL with a password). The `find_…` functions return where it is, so that it can be masked there; the `secrets_…`
functions return its values, which `util/redact.py` then masks wherever else they turn up.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shlex
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SHORTEST = 4
"""Shorter values are masked only under their name: elsewhere they would be found in every second word."""

SHORTEST_IN_WORDS = 8
"""Shorter ones are searched for only as whole words."""

SHORTEST_LINE = 6
"""Each line of a multi-line secret is a secret as well, unless it is shorter."""

# --- names -----------------------------------------------------------------------------------------------------------

NONE, DOUBTFUL, WEAK, STRONG, CERTAIN = range(5)
"""What a name says about its value: nothing; a secret unless it is a word or an identifier; unless it is an everyday
word or a number; unless it is a small number; a secret."""

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
"""Beside these words a token, key or pass belongs to a language model, a table or a filter, and opens no door."""

_JOINED_TOKEN = re.compile(r"(?<!.MAX)(?<!.MIN)(?<!.NUM)(?<!SUB)TOKENS?$")

_JOINED_PASS = re.compile(
    r"(?<!^COM)(?<!^BY)(?<!TRES)(?<!SUR)(?<!ENCOM)(?<!OVER)(?<!UNDER)(?<!HIGH)(?<!LOW)(?<!BAND)(?<!ASK)PASS$"
)

_JOINED_KEY = re.compile(r"(?:API|SSH|AUTH|ACCESS|SECRET|PRIVATE|PASS|OPENAI|HF|LICENSE|GPG|RSA|APP|HOST|DEPLOY)KEYS?$")

_NO_SECRETS = frozenset(("PWD", "OLDPWD", "GOOGLE_APPLICATION_CREDENTIALS", "SINGULARITY_PWD", "APPTAINER_PWD"))


@lru_cache(maxsize=4096)
def strength(name: str) -> int:
    """What a name says about its value, by its words, which are separated by `_`, `-`, dots or capitals."""
    last = name.strip("\"'").rpartition(".")[2] if not name.startswith(".") else name
    words = [word.upper() for word in _WORDS.findall(last)]
    is_known = last.upper() in _NO_SECRETS and last != "pwd"  # `$PWD` is a directory, `--pwd` may be a password
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
"""Words that are everywhere in ordinary text: masking them would help nobody."""

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
    """Whether the value under a name of that strength is a secret."""
    folded = value.strip().casefold()
    if level == NONE or not folded or folded in _SWITCHES or set(value) == {"*"}:
        return False
    if level <= WEAK and (folded in _EVERYDAY or (level == DOUBTFUL and _IDENTIFIER.fullmatch(value))):
        return False
    if level in _NUMBERS and _NUMBERS[level].fullmatch(folded):
        return False
    return not _is_path(value)


def _option_holds_secret(name: str, value: str) -> bool:
    """`--keys x1,y1,z1` and `--pass 2` are not secrets, `--api-key …` is."""
    level = strength(name)
    if level <= WEAK and not re.search(r"\w[_-]\w", name) and not _LIKE_A_KEY.fullmatch(value):
        return False
    return _holds_secret(level, value)


def is_secret_variable(name: str, value: str) -> bool:
    return _holds_secret(strength(name), value) or _PRIVATE_KEY.search(value) is not None


def is_secret_entry(name: str, value: str) -> bool:
    """Whether a key of a campaign file, be it a variable, an option or anything else, has a secret value."""
    return _option_holds_secret(name, value) or _holds_secret(strength(name), value)


def is_secret_option(name: str, value: object) -> bool:
    return _option_holds_secret(name.removesuffix("="), str(value))


def _is_path(value: str) -> bool:
    """The path of a file that holds a secret is not a secret itself: the file exists, or its directory does."""
    if not value.startswith(("/", "~/", "./", "../")) or "\n" in value or len(value) > 4096:
        return False
    try:
        path = os.path.expanduser(value)  # noqa: PTH111
        directory = os.path.dirname(path)  # noqa: PTH120
        return value[0] == "." or os.path.exists(path) or (directory != "/" and os.path.isdir(directory))  # noqa: PTH110, PTH112
    except ValueError:
        return False


def is_searchable(value: str) -> bool:
    """Whether the value is long and unusual enough to be searched for in any string."""
    if len(value) < SHORTEST or value.casefold() in _EVERYDAY:
        return False
    return len(value) >= SHORTEST_LINE or not value.isdigit()


def _parts(value: str, level: int = STRONG) -> Iterator[str]:
    """The secrets that a secret value consists of: itself, its lines, those in JSON or in a URL."""
    yield value
    yield from (line for line in map(str.strip, value.splitlines()) if len(line) >= SHORTEST_LINE and line != value)
    if value.lstrip().startswith(("{", "[")):
        yield from _leaves(value)
    scheme, _, rest = value.partition(" ")
    if rest and scheme.casefold() in ("basic", "bearer", "token"):
        yield from _parts(rest.strip())
        yield from _of_basic(rest.strip())
    if level <= WEAK:  # several in one value, as under plural names; `user:password`
        yield from (part for part in re.split(r"[\s,;:]+", value) if len(part) >= SHORTEST_IN_WORDS)
    yield from (value[start:end] for start, end, _ in find_in_urls(value))


def _of_basic(encoded: str) -> Iterator[str]:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (ValueError, binascii.Error):
        return
    if colon and user.isprintable():
        yield password


def _leaves(text: str) -> Iterator[str]:
    """The strings in a JSON document under names of secrets."""
    try:
        found = [json.loads(text)]
    except (ValueError, RecursionError):  # most likely YAML
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


# --- secrets inside strings ----------------------------------------------------------------------------------------

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

_HINT_OF_SECRET = re.compile(
    r"pass|pwd|pw\b|secret|token|key|auth|cred|jwt|pat|cookie|otp|webhook|bearer|login|://|curl|wget|http|xh\b|mysql|maria"
    r"|gh[pousr]_|glpat-|hf_|sk-|[sr]k_|aiza|dckr_|sg\.|storage|xox|akia|npm_|pypi-|eyj|begin"
)


def _may_hold_secret(text: str) -> bool:
    """Whether there can be a secret with a name; for most strings it is the quick end of the search."""
    return _HINT_OF_SECRET.search(text.casefold()) is not None  # a pattern that ignores case takes five times as long


Found = tuple[int, int, str]
"""The start and end of a secret, and its value without quotes."""


def find_secrets(text: str, least: int = DOUBTFUL, *, by_shell: bool = True) -> Iterator[Found]:
    """Secrets under names of at least that strength, in a string of pairs or one that a shell may read."""
    if _may_hold_secret(text):
        for names, values in _NAMED:
            yield from _find_under_names(text, names, values, least, by_shell=by_shell)
        for match in _LOGIN.finditer(text):
            group = match.lastgroup or ""
            if (value := _read_by_shell(match[group])) and not value.isdigit():
                yield match.start(group), match.end(group), value
        yield from find_in_urls(text)
        yield from _find_known_forms(text)


def _find_under_names(
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
    """The value of a word as a shell reads it; empty if that is a `$VARIABLE`."""
    if word.startswith(("$", '"$', '"`')):
        return ""
    try:
        return " ".join(shlex.split(word)) if word[:1] in "'\"" or "\\" in word else word
    except ValueError:
        return word.strip("'\"")


def find_in_urls(text: str) -> Iterator[Found]:
    for match in _URL.finditer(text) if "://" in text else ():
        if match["password"]:
            yield *match.span("password"), match["password"]
        # `ssh://git@host` names a user; `https://token@host` is a secret most often, and `https://token:x-oauth-basic@`
        is_web = match["scheme"].casefold() in ("http", "https")
        if match["user"] and is_web and (not match["password"] or _RANDOM.fullmatch(match["user"])):
            yield *match.span("user"), match["user"]


def find_in_headers(text: str) -> Iterator[tuple[int, int]]:
    """Where the values of `Authorization` headers are."""
    return (match.span("value") for match in _HEADER.finditer(text))


def _find_known_forms(text: str) -> Iterator[Found]:
    yield from ((match.start(), match.end(), match.group()) for match in _KNOWN_FORM.finditer(text))


def _is_user(text: str, start: int, value: str) -> bool:
    """Whether it is the user name in a URL: masked there, and not searched for elsewhere."""
    return text[:start].endswith("://") and not _RANDOM.fullmatch(value)


@lru_cache(maxsize=4096)
def secrets_in(text: str, least: int = DOUBTFUL) -> frozenset[str]:
    """The values of the secrets in a string."""
    values = {value for start, _, value in find_secrets(text, least) if not _is_user(text, start, value)}
    values |= {text} if _PRIVATE_KEY.search(text) else set()
    return frozenset(part for value in values for part in (*_parts(value), unquote(value)))


def secrets_of_words(words: Sequence[str]) -> frozenset[str]:
    """The secrets among the arguments of a command: in options, assignments and URLs."""
    return frozenset(part for previous, word in with_previous(words) for part in _of_word(previous, word))


def with_previous(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(("", *words), words, strict=False)


def _of_word(previous: str, word: str) -> Iterable[str]:
    start = _start_in(previous, word)
    return secrets_in(word) if start is None else (*_parts(word[start:]), unquote(word[start:]))


def find_in_word(previous: str, word: str) -> list[tuple[int, int]]:
    start = _start_in(previous, word)
    return [(begin, end) for begin, end, _ in find_secrets(word)] if start is None else [(start, len(word))]


_CODE_FOLLOWS = re.compile(r"-[A-Za-z]*c")


def _start_in(previous: str, word: str) -> int | None:
    """Where the secret starts in an argument that is not read by a shell, by its own name or the option before it."""
    is_option = previous.startswith("-") and "=" not in previous and " " not in previous
    if is_option and not word.startswith("-") and _option_holds_secret(previous, word):
        return 0
    match = None if _CODE_FOLLOWS.fullmatch(previous) else _ASSIGNED.match(word)
    return match.end() if match and _holds_secret(strength(match[1]), word[match.end() :]) else None


_ENTRY = re.compile(
    r"""[ \t]*(?:- +)*["']?(?P<name>-{0,2}[\w.-]+)["']?\s*:[ \t]+(?P<value>[^\n]*?)[ \t]*(?:[ \t]#.*)?$"""
)


@lru_cache(maxsize=1)
def find_in_document(text: str) -> tuple[Found, ...]:
    """Secrets in a campaign file, however broken it is: line by line."""
    return tuple(_find_in_lines(text))


def _find_in_lines(text: str) -> Iterator[Found]:
    at, block = 0, None
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" \t"))
        if block is not None and (indent > block or not line.strip()):
            yield at + indent, at + len(line.rstrip()), line.strip()
        else:
            block = None
            if _may_hold_secret(line):
                yield from ((at + start, at + end, value) for start, end, value in find_secrets(line, by_shell=False))
                entry = _ENTRY.match(line.rstrip("\r\n"))
                level = strength(entry["name"]) if entry else NONE
                if entry and level and entry["value"][:1] in ("|", ">"):
                    block = indent
                elif entry and _holds_secret(level, entry["value"]) and entry["value"][0] not in "{[&*!":
                    yield at + entry.start("value"), at + entry.end("value"), entry["value"].strip("'\"")
        at += len(line)


def secrets_of_document(text: str) -> frozenset[str]:
    return frozenset(part for _, _, value in find_in_document(text) if value for part in _parts(value))


def secrets_of_environment(environment: Mapping[str, str]) -> frozenset[str]:
    """The secrets among environment variables."""
    return frozenset(part for name, value in environment.items() for part in _of_variable(name, value))


@lru_cache(maxsize=4096)
def _of_variable(name: str, value: str) -> frozenset[str]:
    level = strength(name)
    return frozenset(_parts(value, level)) if _holds_secret(level, value) else secrets_in(value, STRONG)


def secrets_of_options(options: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        part
        for name, value in options.items()
        for entry in (value if isinstance(value, tuple | list) else (value,))
        for part in (_parts(str(entry)) if is_secret_option(name, entry) else _of_text(entry))
    )


def _of_text(value: object) -> frozenset[str]:
    return secrets_in(value) if isinstance(value, str) else frozenset()
