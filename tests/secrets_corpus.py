"""Names that people give to secrets, names that only look like it, forms of values, and ways in which programs print.

Every value has a core of letters and digits of its own: where a piece of that is found, the secret is out.
"""

from __future__ import annotations

import base64
import html
import json
import shlex
import textwrap
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMES = [
    "ANTHROPIC_API_KEY", "APIKEY", "API_KEYS", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_SAS", "BORG_PASSPHRASE",
    "CI_JOB_TOKEN", "CLEARML_API_ACCESS_KEY", "COMET_API_KEY", "DBPASS", "DB_PASS", "DB_PASSWORD",
    "DB_PWD", "DJANGO_SECRET_KEY", "DOCKER_AUTH", "ENCRYPTION_KEY", "GH_TOKEN", "GITHUB_PAT", "GITHUB_TOKENS",
    "GOOGLE_CREDENTIALS", "HFTOKEN", "HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "JWT", "JWT_SECRET", "KAGGLE_KEY",
    "LDAP_BIND_PW", "MLFLOW_TRACKING_PASSWORD", "MONGO_PASS", "MYSQL_PWD", "MYSQL_ROOT_PASSWORD", "MY_CREDS",
    "NEPTUNE_API_TOKEN", "NPM_CONFIG__AUTH", "OPENAI_API_KEY", "PASSKEY", "PASSPHRASE", "PGPASSWORD",
    "PRIVATE_KEY",
    "PROXY_AUTHORIZATION", "REDIS_PASSWORD", "REFRESH_TOKEN_2", "RSYNC_PASSWORD", "SECRET", "SESSION_COOKIE",
    "SLACK_WEBHOOK", "SLURM_JWT", "SMTP_PASSWD", "SSHPASS", "SSH_PRIVATE_KEY", "TELEGRAM_BOT_TOKEN", "TOKEN",
    "VAULT_SECRET_ID", "VAULT_TOKEN", "WANDB_API_KEY", "accessToken", "apiKey", "apiToken", "clientSecret",
    "dbPassword", "signing_key"
]  # fmt: skip

HARMLESS = [
    "ASKPASS", "AUTHOR", "AUTHORS", "AUTH_METHOD", "AUTH_URL", "BANDPASS", "BYPASS", "CACHE_KEY", "COMPASS",
    "COMPASS_HEADING", "COOKIECUTTER_CONFIG", "CREDIT", "DETOKENIZE", "DONKEY", "EMBEDDING_TOKENS", "EOS_TOKEN",
    "GIT_ASKPASS", "GOOGLE_APPLICATION_CREDENTIALS", "HIGH_PASS", "HOTKEY", "KEYBOARD", "KEYCLOAK_URL",
    "KEYS_PER_NODE", "KEYWORD", "LOW_PASS_FILTER", "MAX_TOKENS", "MESH", "MONKEY", "NUM_KEYS", "N_PASS", "N_TOKENS",
    "PAD_TOKEN", "PASSENGERS", "PASSIVE", "PASSWORD_FILE", "PATIENCE", "PATTERN", "POSTGRES_PASSWORD_FILE",
    "PRIMARY_KEY", "PUBLIC_KEY", "SECRETARY", "SECRETION_RATE", "SORT_KEY", "SPATIAL", "SSH_ASKPASS",
    "SSH_AUTH_SOCK", "TOKENIZER", "TOKENIZERS_PARALLELISM", "TOKENIZER_PATH", "TOKEN_COUNT", "TOKEN_FILE",
    "TOKEN_LIMIT", "TURKEY", "VOCAB_TOKENS", "WHISKEY", "XAUTHORITY", "authority", "keyframe", "maxNewTokens",
    "passRate", "tokenizerName"
]  # fmt: skip

GRAM = 8
"""A piece of a core of that length does not come about by chance."""


def core(seed: str, length: int = 24) -> str:
    """Letters and digits that belong to the seed alone."""
    text, number = "", 0
    while len(text) < length:
        digest = base64.b64encode(sha256(f"{seed} {number}".encode()).digest()).decode("ascii")
        text, number = text + "".join(sign for sign in digest if sign.isalnum()), number + 1
    return text[:length]


def _lines(seed: str, ending: str) -> str:
    body = ending.join(core(f"{seed} {number}", 64) for number in range(6))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----{ending}{body}{ending}-----END OPENSSH PRIVATE KEY-----{ending}"


VALUES: Mapping[str, Callable[[str], str]] = {
    "letters and digits": core,
    "just long enough": lambda seed: core(seed, GRAM),
    "hexadecimal": lambda seed: sha256(seed.encode()).hexdigest(),
    "a JWT of 483 letters": lambda seed: f"eyJ{core(seed, 100)}.eyJ{core(seed + 'b', 300)}.{core(seed + 'c', 75)}",
    "a key of eight lines": lambda seed: _lines(seed, "\n"),
    "a key with Windows line ends": lambda seed: _lines(seed, "\r\n"),
    "base64 in lines": lambda seed: "\n".join(core(f"{seed} {number}", 76) for number in range(7)) + "=\n",
    "words": lambda seed: f"correct {core(seed, 12)} battery {core(seed + 'b', 12)}",
    "quotes": lambda seed: f"it's\"{core(seed)}\"'{core(seed + 'b')}'",
    "backslashes": lambda seed: f"C:\\new\\{core(seed)}\\table\\{core(seed + 'b')}",
    "for a shell": lambda seed: f"$HOME`{core(seed)}`$(x);{core(seed + 'b')}&|<>!*?[]#~",
    "for a URL": lambda seed: f"p@ss:w/r?d#{core(seed)}%41&x=+{core(seed + 'b')}",
    "for HTML": lambda seed: f'<{core(seed)}>&amp;"{core(seed + "b")}"',
    "braces": lambda seed: f"pa{{ss}}{core(seed)}{{{{{core(seed + 'b')}",
    "other alphabets": lambda seed: f"pässwörd✓{core(seed)}日本{core(seed + 'b')}🔑",
    "a dash before": lambda seed: f"-{core(seed)}-",
    "blanks around": lambda seed: f"  {core(seed)}\t",
    "padded base64": lambda seed: base64.b64encode(f"{core(seed)}??>>~~".encode()).decode(),
    "JSON": lambda seed: json.dumps({"type": "account", "private_key": _lines(seed, "\n"), "token": core(seed + "b")}),
    "a URL": lambda seed: f"postgres://user:{core(seed)}@host:5432/db?sslmode=on",
    "user and password": lambda seed: f"user:{core(seed)}",
}

PRINTED: Mapping[str, Callable[[str], str]] = {
    "as it is": str,
    "an assignment": lambda value: f"export X={value}; true",
    "a row of a table": lambda value: f"|{value}|{value}|",
    "JSON": json.dumps,
    "JSON beyond ASCII": lambda value: json.dumps({"a": [value]}, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps({"a": value})),
    "what Python shows": lambda value: repr({"a": value}),
    "what Python shows of bytes": lambda value: repr(value.encode()),
    "for a shell": shlex.quote,
    "for a URL": lambda value: f"https://host/?q={quote(value, safe='')}&r={quote(value)}",
    "for a form": lambda value: f"q={quote_plus(value)}&x=1",
    "for HTML": lambda value: f"<b>{html.escape(value)}</b>",
    "a header": lambda value: f"Authorization: Basic {base64.b64encode(f'user:{value}'.encode()).decode()}",
    "base64": lambda value: f"x {base64.b64encode(f'a{value}'.encode()).decode()} x",
    "base64 in lines": lambda value: "\n".join(textwrap.wrap(base64.b64encode(f"ab{value}\n".encode()).decode(), 76)),
    "hexadecimal": lambda value: value.encode().hex(),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(f"{value}:".encode()).decode().rstrip("="),
    "broken into lines": lambda value: "\n".join(value[at : at + 40] for at in range(0, len(value), 40)),
    "broken and set in": lambda value: "\n    ".join(value[at : at + 60] for at in range(0, len(value), 60)),
    "its beginning": lambda value: f"{value[: max(20, len(value) * 2 // 3)]}...",
    "its end": lambda value: f"...{value[-max(20, len(value) * 2 // 3) :]}",
    "a part of it": lambda value: f"...{value[len(value) // 4 : len(value) // 4 + max(24, len(value) // 2)]}...",
    "in colour": lambda value: f"\x1b[1;31m{value}\x1b[0m",
}


def pieces(seed: str) -> set[str]:
    """Of the cores with that seed, and of base64 that holds one of them."""
    seeds = (seed, f"{seed}b", f"{seed}c", *(f"{seed} {number}" for number in range(7)))
    cores = [sha256(seed.encode()).hexdigest(), *(core(each, 300) for each in seeds)]
    shifted = (b" " * offset + text[:24].encode() for text in cores for offset in range(3))
    encoded = [base64.b64encode(data).decode("ascii")[4:-4] for data in shifted]
    return {text[at : at + GRAM] for text in (*cores, *encoded) for at in range(len(text) - GRAM + 1)}


def leaks(text: str, *seeds: str) -> list[str]:
    """Pieces of secrets with these seeds that the text holds."""
    grams = {text[at : at + GRAM] for at in range(len(text) - GRAM + 1)}
    return sorted(piece for seed in seeds for piece in pieces(seed) & grams)
