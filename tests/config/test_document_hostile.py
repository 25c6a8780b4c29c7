"""Hostile files end within a second of processor time and 200 MB, each in a process of its own, and run nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import PATIENCE

REPOSITORY = Path(__file__).parent.parent.parent
SECONDS = 1.0
SECONDS_WITHOUT_LIBYAML = 8.0
MEGABYTES = 200

# The peak is read from /proc where there is one: what getrusage gives begins with that of the process that forked.
CHILD = """
import json, resource, sys
from pathlib import Path
from rose_cli.util.errors import CampaignError, UsageError
from rose_cli.config.document import read_document
from rose_cli.config.yaml import parser as yaml_parser

if sys.argv[2] == "python":
    yaml_parser.new_parser = yaml_parser.PurePythonParser

def seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

def megabytes():
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

from tests.work import on_an_idle_machine

before, codes = seconds(), []
try:
    read_document(Path(sys.argv[1]))
except CampaignError as error:
    codes = [found.code for found in error.diagnostics]
except UsageError as error:
    codes = ["usage"]
used, most = seconds() - before, megabytes()
if used > float(sys.argv[3]):
    used = on_an_idle_machine(used)
print(json.dumps({"codes": codes, "seconds": used, "megabytes": most}))
"""

MIB = 1 << 20
MERSENNE = 2**61 - 1  # ints that differ by this have one hash


class Ended(NamedTuple):
    codes: list[str]
    seconds: float
    megabytes: float


def alias_bomb() -> str:
    levels = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    return "a0: &a0 [x, x]\n" + "".join(levels)


def merge_bomb() -> str:
    levels = (f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))
    return "a0: &a0 {k: 1}\n" + "".join(levels)


def lines(form: str, last: int = MIB) -> str:
    """Numbered lines, as many as a campaign file may hold."""
    text = "".join(form.format(number) for number in range(MIB // len(form.format(0))))
    return text[: min(last, MIB)].rpartition("\n")[0] + "\n"


def filled(unit: str, before: str = "", after: str = "") -> str:
    count = (MIB - len((before + after).encode())) // len(unit.encode())
    return before + unit * count + after


HOSTILE: dict[str, tuple[str | bytes, str | None]] = {
    # what is accepted has None
    "alias bomb": (alias_bomb(), "too-large"),
    "alias chain": ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 99)), "too-deep"),
    "aliases": ("a:\n- &a [1, 2, 3]\n" + "- *a\n" * 200_000, "too-large"),
    "recursive alias": ("a: &a {b: [*a, *a]}\n" * 9000, "recursive-alias"),
    "merge bomb": (merge_bomb(), "odd-key"),
    "anchors": (lines("- &a{} 1\n"), "too-large"),
    "bare anchors": (lines("k{0}: &a{0}\n"), "bare-anchor"),
    "deep flow lists": ("[" * 100_000, "too-deep"),
    "deep flow lists, closed": ("a: " + "[" * 100_000 + "]" * 100_000, "too-deep"),
    "deep flow maps": ("{a: " * 100_000, "too-deep"),
    "deep flow, a line each": ("a:\n" + " [\n" * 100_000, "too-deep"),
    "deep block lists": ("- " * 100_000, "too-deep"),
    "deep block maps": ("".join(" " * depth + "a:\n" for depth in range(1400)), "too-deep"),
    "deep keys": ("? " * 100_000, "too-deep"),
    "[": (filled("["), "too-deep"),
    "{": (filled("{"), "too-deep"),
    "- - -": (filled("- "), "too-deep"),
    "? ? ?": (filled("? "), "too-deep"),
    "&a": (filled("&a "), "yaml-syntax"),
    "*a": (filled("*a "), "unknown-alias"),
    ": : :": (filled(": "), "odd-key"),
    "::::": (filled(":"), "indentation"),
    "!!!!": (filled("!"), "tag"),
    "%%%%": (filled("%"), "directive"),
    "directives": (filled("%a\n"), "directive"),
    "''''": (filled("'"), "not-a-map"),
    "----": (filled("-"), "not-a-map"),
    "documents": (filled("---\n"), "second-document"),
    "a million keys": ("".join(f"{n}: 1\n" for n in range(1_000_000)), "file-too-large"),
    "keys": (lines("{}: 1\n"), "too-large"),
    "keys in braces": ("a: {" + ", ".join(f"k{n}: {n}" for n in range(70_000)) + "}", "too-large"),
    "keys of one hash": ("".join(f"{n * MERSENNE}: 1\n" for n in range(38_000)), "odd-key"),
    "one key": (filled("a: 1\n"), "duplicate-key"),
    "items": (filled("- \n", "a:\n"), "too-large"),
    "items in brackets": (filled("1,", "a: [", "]"), "too-large"),
    "cut texts": (filled("f(1, 2), ", "a: [", "]"), "split-by-comma"),
    "texts that may be cut": (filled("(,", "a: [", "]"), "too-large"),
    "lists of them": (filled("[" + "(," * 4 + "x" * 190 + "], ", "a: [", "]"), None),
    "parentheses": (filled("(", "a: [", ", 1]"), None),
    "one long text": (filled("x", "a: "), None),
    "one long key": (filled("x", "", ": 1"), "indentation"),
    "one long alias": (filled("x", "a: *"), "unknown-alias"),
    "one long tag": (filled("x", "a: !"), "tag"),
    "words": (filled("x y ", "a: "), None),
    "text over many lines": (filled(" x\n", "a:\n"), None),
    "quoted text over many lines": (filled("\n", 'a: "', '"'), None),
    "escapes": (filled("\\n", 'a: "', '"'), None),
    "a bad escape after many": (filled("\\\\", 'a: "', '\\q"'), "bad-escape"),
    "unclosed quote": (filled("x\n", "a: '"), "unclosed-quote"),
    "block text": (filled("  x\n", "a: |\n"), None),
    "empty block text": (filled("\n", "a: |\n"), "block-text"),
    "comment": (filled("#"), "empty-file"),
    "comments": (filled("#\n"), "empty-file"),
    "empty lines": (filled("\n"), "empty-file"),
    "carriage returns": (filled("\r"), "empty-file"),
    "blanks": (filled(" "), "empty-file"),
    "tabs": (filled("\t"), "empty-file"),
    "lines with tabs": (filled("\tb\n", "a:\n"), "tab"),
    "tabs in quotes": (lines('- "\n\tx"\n'), "too-large"),
    "comments that are none": (filled("- 1 #2\n"), "too-large"),
    "question marks": (lines("k{}?: 1 # ?\n"), "too-large"),
    "no layout": ("a:\n  b: 1\n" + lines("   c{}\n", 900_000) + " d: 1\n", "indentation"),
    "an int of 5,000 digits": ("a: " + "9" * 5000, None),
    "an int key of 5,000 digits": ("9" * 900 + ": 1\n", None),
    "ints": (lines("- 9{:063}\n"), "not-a-map"),
    "emoji": (filled("- 😀\n"), "too-large"),
    "python tags": (filled("a: !!python/object/apply:os.system ['touch pwned']\n"), "tag"),
    "python names": ("a: !!python/name:os.system\nb: !!python/object/new:os.system [touch pwned]\n", "tag"),
    "bad timestamps and bools": ("a: 2024-13-45\nb: !!bool maybe\nc: !!timestamp abc\n", "tag"),
    "NUL": (b"\0" * MIB, "odd-character"),
    "control characters": (b"\x1b" * MIB, "odd-character"),
    "byte order marks": (("\ufeff" * (MIB // 3)).encode(), "odd-character"),
    "surrogates": (b"\xed\xa0\x80" * (MIB // 3), "not-utf8"),
    "Latin-1": (b"\xe9" * MIB, "not-utf8"),
    "lines of Latin-1": (b"a: \xe9\n" * (MIB // 5), "not-utf8"),
    "UTF-16": (("a: 1\n" * 100_000).encode("utf-16"), "not-utf8"),
    "UTF-16 without a mark": (("a: 1\n" * 100_000).encode("utf-16-le"), "not-utf8"),
    "random bytes": (random.Random(1).randbytes(MIB), "not-utf8"),
}


def read_in_a_process(path: Path, parser: str = "libyaml", limit: float = SECONDS) -> Ended:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, parser, str(limit)],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return Ended(**result)


def _check(ended: Ended, code: str | None, seconds: float) -> None:
    assert (code in ended.codes) if code else (ended.codes == [])
    assert len(ended.codes) <= 250
    assert ended.seconds < seconds
    assert ended.megabytes < MEGABYTES


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_soon_and_small(name: str, tmp_path: Path) -> None:
    content, code = HOSTILE[name]
    path = tmp_path / "campaign.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    _check(read_in_a_process(path), code, SECONDS)
    assert [each.name for each in tmp_path.iterdir()] == ["campaign.yaml"]


@pytest.mark.parametrize("name", ["[", "::::", "keys in braces", "words", "unclosed quote"])
def test_the_parser_without_libyaml_is_slower_but_bounded(name: str, tmp_path: Path) -> None:
    content, code = HOSTILE[name]
    path = tmp_path / "campaign.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    _check(read_in_a_process(path, "python", SECONDS_WITHOUT_LIBYAML), code, SECONDS_WITHOUT_LIBYAML)


def test_a_file_of_100_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    _check(read_in_a_process(path), "file-too-large", SECONDS)


def test_a_device_and_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        _check(read_in_a_process(tmp_path / name), "usage", SECONDS)
