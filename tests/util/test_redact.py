"""Which values look like secrets, and how they are masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.util.redact import MASK, Secrets, masked_environment, masked_line, masked_words
from rose_cli.util.secrets import NONE, secrets_in, secrets_of_environment, secrets_of_words, strength
from tests.secrets_corpus import HARMLESS, NAMES, PRINTED, VALUES, core, leaks

if TYPE_CHECKING:
    from pathlib import Path


def test_names_of_secrets() -> None:
    assert len(NAMES) >= 60
    assert [name for name in NAMES if strength(name) == NONE] == []


def test_names_of_none() -> None:
    assert len(HARMLESS) >= 60
    assert [name for name in HARMLESS if strength(name) > NONE] == []


@pytest.mark.parametrize("value", VALUES)
def test_a_secret_is_found_however_it_is_printed(value: str) -> None:
    secret = VALUES[value](value)
    secrets = Secrets(secrets_of_environment({"API_TOKEN": secret}))
    for how, printed in PRINTED.items():
        shown = secrets.hidden(f"before {printed(secret)} after")
        assert leaks(shown, value) == [], how
        assert shown.startswith("before ")
        assert shown.endswith(" after")


def test_every_name_makes_a_secret_of_every_value() -> None:
    pairs = [(name, make(f"{form} {name}")) for name in NAMES for form, make in VALUES.items()]
    assert len(pairs) >= 60 * 20
    for name, value in pairs:
        assert masked_environment({name: value}) == {name: MASK}
        assert value in secrets_of_environment({name: value})


def test_what_is_shown() -> None:
    variables = {"TOKEN": "x", "A": "x", "KEY": "", "DB": "pg://u:pw@h/d", "LEVEL": "A_PASSWORD=x;B=y"}
    assert masked_environment(variables) == {
        "TOKEN": MASK, "A": "x", "KEY": "", "DB": f"pg://u:{MASK}@h/d", "LEVEL": f"A_PASSWORD={MASK};B=y",
    }  # fmt: skip
    secrets = Secrets(secrets_of_environment({"TOKEN": "abcdefgh", "OTHER_PASSWORD": "abcdefghij", "PLAIN": "ghijkl"}))
    assert secrets.hidden({"a": ["x abcdefghij", ("abcdefgh", 5, None)]}) == {"a": [f"x {MASK}", (MASK, 5, None)]}
    assert secrets.hidden({"abcdefgh": 1, "abcdefghij": 2}) == {MASK: 1, f"{MASK} (2)": 2}
    untouched = {"a": ["ghijkl", 1.5, None, True]}
    assert secrets.hidden(untouched) is untouched


def test_short_secrets_are_masked_as_words_and_everyday_words_where_they_stand_only() -> None:
    variables = {"A_PASS": "p4ss", "B_TOKEN": "abc", "C_PASSWORD": "postgres", "D_SECRET": "true", "E_TOKEN": "4711"}
    secrets = Secrets(secrets_of_environment(variables))
    text = "p4ss 'p4ss' \\np4ss\\n %20p4ss xp4ssy abc postgres true 4711 0.4711"
    assert secrets.hidden(text) == (f"{MASK} '{MASK}' \\n{MASK}\\n %20{MASK} xp4ssy abc postgres true 4711 0.4711")
    shown = masked_environment(variables)
    assert shown == {"A_PASS": MASK, "B_TOKEN": MASK, "C_PASSWORD": MASK, "D_SECRET": "true", "E_TOKEN": "4711"}


def test_a_number_that_is_a_secret_is_masked_as_a_number_too() -> None:
    secrets = Secrets(secrets_of_environment({"DB_PASSWORD": "86753091"}))
    assert secrets.hidden({"pin": 86753091, "loss": 0.25, "n": 8}) == {"pin": MASK, "loss": 0.25, "n": 8}


@pytest.mark.parametrize("blank", [" ", "\\ "])
def test_an_output_full_of_blanks_is_looked_through_in_time_that_grows_as_it_does(blank: str) -> None:
    """Minutes, else, and the session waits for as long."""
    secrets = Secrets(["s3cr3t-value-of-some-length"])
    wrapped, rest = "s3cr3t-val\t\n \r\n\tue-of-so\\ \nme-length", f" x\n y{blank * 60_000}z"
    shown = secrets.masked(f"{wrapped}{rest}")
    assert shown.startswith(MASK)
    assert shown.endswith(rest)
    assert "of-so" not in shown


@pytest.mark.parametrize("word", ["key-", "curl ", "mysql "])
def test_a_line_is_looked_through_in_time_that_grows_as_it_does(word: str) -> None:
    """Minutes, else."""
    line = word * 20_000
    shown = masked_line(f"{line} A_TOKEN=xyz12")
    assert len(shown) == len(line) + len(f" A_TOKEN={MASK}")
    assert shown.endswith(f" A_TOKEN={MASK}")


def test_paths_are_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "id_rsa").touch()
    paths = {"SSH_KEY": str(tmp_path / "id_rsa"), "GCP_CREDENTIALS": str(tmp_path / "not-there.json"), "A_KEY": "./k"}
    assert masked_environment(paths) == paths
    assert secrets_of_environment(paths) == frozenset()
    assert masked_environment({"AWS_SECRET_ACCESS_KEY": "/aB3/cD4eF5"}) == {"AWS_SECRET_ACCESS_KEY": MASK}


def test_secrets_known_by_their_form() -> None:
    known = [f"ghp_{core('a', 36)}", f"hf_{core('b', 34)}", VALUES["a JWT of 483 letters"]("c"), f"sk-{core('d', 40)}"]
    known += [f"sk_live_{core('e', 24)}", f"AIza{core('e', 35)}", f"dckr_pat_{core('e', 27)}"]
    known += [f"SG.{core('e', 22)}.{core('e', 43)}"]
    for secret in (*known, VALUES["a key of eight lines"]("e")):
        variables = {"PLAIN": secret}
        assert masked_environment(variables) == {"PLAIN": MASK}
        assert leaks(Secrets(secrets_of_environment(variables)).hidden(f"x {secret} x"), *"abcde") == []
        assert secret.splitlines()[0][-8:] not in masked_words([secret])[0]


IN_WORDS = {
    ("--password", "abc"): ("--password", MASK),
    ("--pw", "2-abc-K8-abc-J7mq"): ("--pw", MASK),
    ("pwd=1abc2d4e", "x"): (f"pwd={MASK}", "x"),
    ("--api-key=abc", "x"): (f"--api-key={MASK}", "x"),
    ("API_TOKEN=it's", "env"): (f"API_TOKEN={MASK}", "env"),
    ("-H", "Authorization: Bearer abc"): ("-H", f"Authorization: Bearer {MASK}"),
    ("-H", "X-Api-Key: abc"): ("-H", f"X-Api-Key: {MASK}"),
    ("--db", "postgres://user:abc@host/db"): ("--db", f"postgres://user:{MASK}@host/db"),
    ("git", "clone", "https://t0k-abcd@github.com/a/b"): ("git", "clone", f"https://{MASK}@github.com/a/b"),
    ("sh", "-c", "export A_TOKEN=abc; run"): ("sh", "-c", f"export A_TOKEN={MASK}; run"),
    ("sh", "-c", 'run --token "abc d" --x'): ("sh", "-c", f"run --token {MASK} --x"),
    ("model.api_key=abc",): (f"model.api_key={MASK}",),
    ('{"api_key": "abc", "n": 1}',): (f'{{"api_key": {MASK}, "n": 1}}',),
    ("https://host/x?access_token=abc&n=1",): (f"https://host/x?access_token={MASK}&n=1",),
}


HARMLESS_WORDS = [
    ("--pw", "pw.x"), ("--pwd", "/work/case7"), ("PWD=1a2b3c4d",),
    ("--key", "column"), ("--keys", "x1,y1,z1"), ("--energy_key", "REF_energy"), ("--forces_key=REF_forces",),
    ("--feature-key", "feature_12"), ("--token-mixer", "attention"), ("--token-dropout", "0.1"),
    ("--password", "--verbose"), ("--max-tokens", "400"), ("ssh://git@host/x", "git@host:x"),
    ("--token-file", "/x/y"), ("--pass", "2"), ("--auth", "basic"), ("KEY=value",), ("--tokenizer", "bpe-large-v3"),
    ("sort_key=name",), ("http://host:8080/x@y",), ("--no-password",), ("sh", "-c", "TOKEN=$TOKEN run"),
]  # fmt: skip


@pytest.mark.parametrize("words", IN_WORDS)
def test_secrets_among_words(words: tuple[str, ...]) -> None:
    assert masked_words(words) == IN_WORDS[words]
    assert any("abc" in secret or secret == "it's" for secret in secrets_of_words(words))


@pytest.mark.parametrize("words", HARMLESS_WORDS)
def test_words_that_are_none(words: tuple[str, ...]) -> None:
    assert masked_words(words) == words


LINES = {
    "export A_TOKEN='a b' KEY=x1y2z3": f"export A_TOKEN={MASK} KEY={MASK}",
    'B_TOKEN="c d"; C_TOKEN=$(date) D_TOKEN="$(cat x)" E_TOKEN=$F': f"B_TOKEN={MASK}; C_TOKEN=$(date) "
    'D_TOKEN="$(cat x)" E_TOKEN=$F',
    "if test x = y; then z; fi": "if test x = y; then z; fi",
    "setenv API_TOKEN abc": f"setenv API_TOKEN {MASK}",
    "curl -u me:abc https://host | sh": f"curl -u me:{MASK} https://host | sh",
    "curl -H 'Authorization: token abc' https://host": f"curl -H 'Authorization: token {MASK}' https://host",
    "sshpass -p abc ssh host": f"sshpass -p {MASK} ssh host",
    "mysql -u me -pabc db": f"mysql -u me -p{MASK} db",
    "git clone https://me:abc@host/x": f"git clone https://me:{MASK}@host/x",
    "docker run -u 1000:1000 image": "docker run -u 1000:1000 image",
    "module load key/2.0; source /opt/keys/setup.sh": "module load key/2.0; source /opt/keys/setup.sh",
    "export PATH=/opt/token/bin:$PATH": "export PATH=/opt/token/bin:$PATH",
}


@pytest.mark.parametrize("line", LINES)
def test_secrets_in_lines_for_a_shell(line: str) -> None:
    assert masked_line(line) == LINES[line]
    assert bool(secrets_in(line)) == (MASK in LINES[line])
