"""Mutation testing itself: which faults it puts in, that it tells those noticed from the others, and what it leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY
from tools.mutants import mutants_of, read_equivalents
from tools.mutate import AREAS, EQUIVALENTS, chosen_modules, draw, find_mutants, modules_of, stale, test_files_of

if TYPE_CHECKING:
    from pathlib import Path

files_of = test_files_of  # under its own name, pytest would take it for a test
del test_files_of


def changes(source: str) -> list[str]:
    return [mutant.change for mutant in mutants_of("m.py", source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["a < b -> a <= b"]),
        ("x = a is None", ["a is None -> a is not None"]),
        ("if a is None: f()", ["a is None -> False", "a is None -> True", "f() -> pass"]),
        ("if a and b: import x", ["a and b -> False", "a and b -> a", "a and b -> b"]),
        ("if a or b: import x", ["a or b -> True", "a or b -> a", "a or b -> b"]),
        ("x = not a", ["not a -> a"]),
        ("x = -1", ["1 -> 2"]),
        ("x = True", ["True -> False"]),
        ("x = a + b", ["a + b -> a - b"]),
        ("x += a", ["x += a -> pass", "x += a -> x -= a"]),
        ("x.y = a", ["x.y = a -> pass"]),
        ("x = [*a, b]", ["[*a, b] -> [b]"]),
        ("x = min(a, b)", ["min(a, b) -> max(a, b)"]),
        ("x = masked(a)", ["masked(a) -> a"]),
        ("x = f(a, b, mode=c)", ["f(a, b, mode=c) -> f(a, b)"]),
        ("x = [a for a in b if c]", ["c -> True"]),
        ("while a: break", ["a -> False", "break -> continue"]),
        ("raise E(a)", ["raise E(a) -> pass"]),
        ("def f(): return g(a, b)", ["return g(a, b) -> return None"]),
        ("try: import x\nexcept E: import y", ["except E -> raise"]),
        ("await f(a)", ["await f(a) -> pass"]),
    ],
)
def test_the_faults(source: str, expected: list[str]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""1 < 2"""',
        'x = f"{a < b}"',
        "x: Literal[1] | None",
        "def f(a: int < 2) -> a < b: ...",
        "if TYPE_CHECKING:\n    x = 1 < 2",
        "@dataclass(frozen=True)\nclass A: ...",
        "def f(): raise NotImplementedError",
        "assert a < b",
        "x = len(a)",
    ],
)
def test_what_stays_as_it_is(source: str) -> None:
    assert changes(source) == []


def test_a_mutant_is_put_where_it_belongs() -> None:
    source = '# ä\nx = "ü", (\n    a\n    < b\n)\n'.encode()
    (mutant,) = mutants_of("m.py", source)
    assert str(mutant) == "m.py:3: a < b -> a <= b"
    assert mutant.put_into(source).decode() == '# ä\nx = "ü", (\n    (a <= b)\n)\n'


def test_a_mutant_is_met_by_the_tests_that_run_its_own_statement() -> None:
    """Not those of the statement before: an `except` and a `case` come after the ones within `try` and `match`."""
    source = "try:\n    f()\nexcept E:\n    import x\nexcept F:\n    import y\n"
    assert {mutant.change: mutant.lines for mutant in mutants_of("m.py", source.encode())} == {
        "f() -> pass": (2, 2), "except E -> raise": (3, 4), "except F -> raise": (5, 6),
    }  # fmt: skip
    source = "match a:\n    case 1:\n        f()\n    case b if b < c:\n        import x\n"
    lines = {mutant.change: mutant.lines for mutant in mutants_of("m.py", source.encode())}
    assert (lines["f() -> pass"], lines["b < c -> b <= c"]) == ((3, 3), (4, 5))


def test_every_mutant_of_a_module_can_be_compiled() -> None:
    source = (REPOSITORY / "rose_cli/loop/step.py").read_bytes()
    mutants = mutants_of("step.py", source)
    assert len(mutants) > 100
    for mutant in mutants:
        compile(mutant.put_into(source), str(mutant), "exec")


def test_every_equivalent_mutant_has_a_reason_and_still_matches_the_code() -> None:
    equivalents = read_equivalents(EQUIVALENTS)
    assert all(entry.reason for entry in equivalents)
    assert stale(equivalents) == []


def test_an_area_names_modules_and_tests_that_are_there() -> None:
    for area in AREAS.values():
        assert modules_of(area)
        assert all((REPOSITORY / name).is_file() for name in files_of(area))


def test_a_module_is_chosen_by_its_name_its_package_or_its_area() -> None:
    assert list(chosen_modules("journal.state")) == ["rose_cli/journal/state.py"]
    assert list(chosen_modules("config.expression")) == list(chosen_modules("expressions"))
    assert list(chosen_modules("resume")) == ["rose_cli/commands/resume.py"]
    assert chosen_modules("jour") == {}
    assert len(find_mutants(chosen_modules(None))) > 3000


def test_the_same_seed_draws_the_same_mutants() -> None:
    first, again, other = (draw(["rose_cli/journal/state.py"], 20, seed) for seed in (1, 1, 2))
    assert len(set(first)) == 20
    assert first == again != other


TOY = """\
import subprocess

def grade(points):
    if points >= 10:
        return "good"
    return "bad"

def count(number):
    done = 0
    for _ in range(number):
        done += 1
    return done

def unused(points):
    return points > 3

def same(points):
    return abs(points * points)

def leave():
    return subprocess.Popen(["setsid", "sleep", "9753"]).pid
"""
TOY_TESTS = """\
import subprocess, sys
from rose_cli import toy

def test_grade():
    assert toy.grade(9) == "bad"
    assert toy.grade(11) == "good"

def test_count():
    assert [toy.count(number) for number in (0, 3)] == [0, 3]

def test_same():
    assert toy.same(-2) == 4

def test_leaves_a_process():
    assert toy.leave()

def test_in_a_subprocess():
    code = "from rose_cli import toy; print(toy.count(2))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "2\\n"

def test_fails_anyway():
    assert toy.unused(1) and False
"""
TOY_EQUIVALENTS = """\
rose_cli/toy.py:
- code: return abs(points * points)
  change: abs(points * points) -> points * points
  reason: a square is not negative
"""
TOY_RUN = """\
import sys
from tools import mutate
mutate.AREAS = {"toy": mutate.Area(["toy.py"], ["tests/test_toy.py"])}
mutate._LOADED_BEFORE = ()
sys.exit(mutate.main(sys.argv[1:]))
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A repository of one module, with the tools of this one."""
    there = tmp_path / "repository"
    for name in ("tools", "rose_cli", "tests"):
        (there / name).mkdir(parents=True)
        (there / name / "__init__.py").touch()
    for name in ("mutate.py", "mutants.py"):
        shutil.copy(REPOSITORY / "tools" / name, there / "tools")
    (there / "rose_cli" / "toy.py").write_text(TOY)
    (there / "tests" / "test_toy.py").write_text(TOY_TESTS)
    (there / "tools" / "equivalents.yaml").write_text(TOY_EQUIVALENTS)
    (tmp_path / "tmp").mkdir()
    return there


def mutate(toy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(toy), "TMPDIR": str(toy.parent / "tmp")}
    return subprocess.run(
        [sys.executable, "-c", TOY_RUN, *arguments],
        cwd=toy, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_a_run_tells_which_faults_no_test_notices(toy: Path) -> None:
    done = mutate(toy, "--all", "--jobs", "2")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("not noticed:")] == [
        "not noticed: rose_cli/toy.py:15: 3 -> 4  (no quick test runs this line)",
        "not noticed: rose_cli/toy.py:15: points > 3 -> points >= 3  (no quick test runs this line)",
        "not noticed: rose_cli/toy.py:4: 10 -> 11  (all tests passed)",
        "not noticed: rose_cli/toy.py:4: points >= 10 -> points > 10  (all tests passed)",
    ], done.stderr
    assert next(line.split() for line in lines if line.startswith("all")) == ["all", "15", "10", "0", "4", "1", "71.4%"]
    assert done.returncode == 1
    assert "test_fails_anyway" in done.stderr
    assert (toy / "rose_cli" / "toy.py").read_text() == TOY
    assert list((toy.parent / "tmp").iterdir()) == []
    assert subprocess.run(["pgrep", "-f", "sleep 9753"], check=False, capture_output=True).stdout == b""


HANGING = """\
import subprocess, sys, time
from tools import mutate

def hang():
    subprocess.Popen(["sleep", "8642"], start_new_session=True)
    print("started", flush=True)
    time.sleep(8642)

sys.exit(mutate._keep(hang, 0.5) == mutate._TIMED_OUT)
"""


def test_what_hangs_is_ended_with_all_that_it_has_started() -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", HANGING], env=environment, timeout=100, check=False)
    assert done.returncode == 1
    assert subprocess.run(["pgrep", "-f", "sleep 8642"], check=False, capture_output=True).stdout == b""


def test_an_equivalent_that_matches_nothing_is_an_error(toy: Path) -> None:
    (toy / "rose_cli" / "toy.py").write_text(TOY.replace("abs(points * points)", "abs(points)"))
    done = mutate(toy)
    assert done.returncode == 1
    assert "matches nothing" in done.stderr


def test_no_time_left_is_no_success(toy: Path) -> None:
    done = mutate(toy, "--minutes", "0")
    assert done.returncode == 1
