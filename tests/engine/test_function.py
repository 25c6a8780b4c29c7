"""The program that calls functions: what it passes, what it accepts as returned, and what it says of an exception."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import partial, wraps
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rose_cli.engine import function
from rose_cli.engine.function import REPORT_BYTES, ReturnError, call, parameter_of, parameters_of, plain
from rose_cli.journal import codec

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT = {"iteration": 3, "learner": "a", "seed": 7, "results": {"sim": {"n": 1}}}


class Scalar:
    """As numpy's scalars and torch's tensors of one number are."""

    shape = ()

    def __init__(self, value: object) -> None:
        self._value = value

    def item(self) -> object:
        return self._value


class Array:
    shape = (2,)

    def tolist(self) -> list[object]:
        return [1, Scalar(2.5)]


# --- what is passed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "parameter"),
    [("--n-samples", "n_samples"), ("--lr", "lr"), ("-n", "n"), ("lr", "lr"), ("--a_b-c", "a_b_c")],
)
def test_an_option_sets_the_parameter_with_its_name(option: str, parameter: str) -> None:
    assert parameter_of(option) == parameter


def test_a_function_gets_its_options_and_what_it_asks_for_by_name() -> None:
    def asked(lr: float, iteration: int, *, learner: str, results: dict[str, Any]) -> dict[str, Any]:
        return {"lr": lr, "iteration": iteration, "learner": learner, "n": results["sim"]["n"]}

    assert call(asked, {"lr": 0.1}, CONTEXT) == {"lr": 0.1, "iteration": 3, "learner": "a", "n": 1}


def test_an_option_has_precedence_over_what_rose_knows() -> None:
    assert call(lambda seed: {"seed": seed}, {"seed": 1}, CONTEXT) == {"seed": 1}


def test_what_is_not_asked_for_is_not_passed() -> None:
    assert call(lambda **others: {"others": sorted(others)}, {"x": 1}, CONTEXT) == {"others": ["x"]}


def decorated(inner: Callable[..., object]) -> Callable[..., object]:
    @wraps(inner)
    def outer(*args: object, **named: object) -> object:
        return inner(*args, **named)

    return outer


class Callable1:
    def __call__(self, seed: int) -> int:
        return seed


def with_seed(a: int, seed: int = 0) -> int:
    return a + seed


async def waits(seed: int) -> int:
    return seed


@pytest.mark.parametrize(
    ("asks", "options"), [(partial(with_seed, 0), {}), (decorated(with_seed), {"a": 0}), (Callable1(), {}), (waits, {})]
)
def test_anything_that_can_be_called_is_called(asks: Callable[..., object], options: dict[str, Any]) -> None:
    assert call(asks, options, CONTEXT) == 7


def test_the_parameters_of_a_plain_function_are_those_that_can_be_named() -> None:
    def mixed(a: int, /, b: int, *rest: int, c: int, d: int = 1, **others: int) -> int:
        local = sum((a, b, *rest, c, d, *others.values()))
        return local + 1

    assert list(parameters_of(mixed)) == ["b", "c", "d"]
    assert list(parameters_of(print)) in ([], ["sep", "end", "file", "flush"])


# --- what is returned ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1), (0.1, 0.1), (Scalar(0.1), 0.1), (Scalar(3), 3), (Decimal("0.5"), 0.5), (Fraction(1, 4), 0.25),
     (10**400, 10**400), (5e-324, 5e-324), (math.inf, math.inf)],
)  # fmt: skip
def test_a_number_is_returned_with_all_its_digits(value: object, number: object) -> None:
    found = plain(value)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    ("value", "what"),
    [(True, "the boolean True"), (Scalar(True), "Scalar"), ("0.5", "the string '0.5'"), ([1], "type list"),
     (1j, "type complex"), (Array(), "Array"), (object(), "type object"), (Scalar("x"), "Scalar")],
)  # fmt: skip
def test_anything_else_is_refused_by_its_type(value: object, what: str) -> None:
    with pytest.raises(ReturnError, match="return a dict") as error:
        plain(value)
    assert what in str(error.value)


def test_a_report_may_contain_what_json_has_and_what_stands_for_it() -> None:
    report = {"n": Scalar(1), "list": (1, 2.5, None, True), "deep": {"array": Array(), "path": Path("a/b")}, "t": "x"}
    assert plain(report) == {
        "n": 1, "list": [1, 2.5, None, True], "deep": {"array": [1, 2.5], "path": "a/b"}, "t": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("report", "message"),
    [({"a": {"b": [0, object()]}}, "'a.b.1' is an object of type object"), ({"a": 1j}, "'a'"),
     ({"a": {1: 2}}, "at 'a' is an object of type int"), ({(1, 2): 3}, "the key (1, 2) of the report is"),
     ({"a": {1, 2}}, "'a' is an object of type set")],
)  # fmt: skip
def test_a_report_that_is_no_json_names_the_key(report: dict[Any, Any], message: str) -> None:
    with pytest.raises(ReturnError) as error:
        plain(report)
    assert message in str(error.value)


def test_a_report_that_contains_itself_is_refused() -> None:
    report: dict[str, Any] = {}
    report["self"] = report
    with pytest.raises(ReturnError, match="contains itself"):
        plain(report)


ARRAYS = [
    (np.array([1.5]), [1.5]), (np.array([1, 2, 3]), [1, 2, 3]), (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    (np.zeros((2, 0)), [[], []]), (np.zeros((1, 1, 1)), [[[0.0]]]), (np.array(2.5), 2.5), (np.array(True), True),
    (np.array([True, False]), [True, False]), (np.array([1, 2], "u1"), [1, 2]), (np.array([0.5], "f2"), [0.5]),
    (np.array([0.1], "f4"), [float(np.float32(0.1))]), (np.array([0.5, 1], "g"), [0.5, 1.0]), (np.longdouble(0.5), 0.5),
    (np.array(["a", "b"]), ["a", "b"]), (np.array([(1, 0.5)], "i4,f8"), [[1, 0.5]]),
    (np.array([1, "a"], "O"), [1, "a"]),
    (np.ma.array([1, 2], mask=[False, True]), [1, None]), (np.ma.masked, None), (np.int64(3), 3),
    (np.float32(0.5), 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("array", "value"), ARRAYS)
def test_arrays_of_any_shape_and_type_are_nested_lists_in_a_report(array: object, value: object) -> None:
    found = plain({"deep": [{"a": array}]})
    assert json.loads(json.dumps(found)) == found == {"deep": [{"a": value}]}


@pytest.mark.parametrize(
    ("array", "number"),
    [(np.array([0.5]), 0.5), (np.array([[3]]), 3), (np.array([[[0.1]]], "f4"), float(np.float32(0.1))),
     (np.array(0.5), 0.5), (np.array([0.5], "g"), 0.5), (np.array([Decimal("0.5")]), 0.5)],
)  # fmt: skip
def test_an_array_with_one_element_is_a_number(array: object, number: object) -> None:
    found = plain(array)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "array", [np.array([1, 2]), np.array([]), np.array([True]), np.array(["x"]), np.array([1j]), np.clongdouble(1j),
              np.ma.masked, np.ma.array([1], mask=[True])]
)  # fmt: skip
def test_an_array_that_is_no_number_is_refused(array: object) -> None:
    with pytest.raises(ReturnError, match="it returned an object of type numpy"):
        plain(array)


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.array([1j]), "'a.0' is an object of type complex"), (np.clongdouble(1j), "'a' is an object of type numpy"),
     (np.array(["2020-01-01"], "M8[D]"), "'a.0' is an object of type datetime.date"), (np.array([b"x"]), "'a.0'"),
     (np.array([0, object()]), "'a.1' is an object of type object"),
     (np.broadcast_to(1.0, (10**9, 10**6)), "'a' is an array of 1,000,000,000 x 1,000,000 elements"),
     (np.zeros((10**12, 0)), "'a' is an array of 1,000,000,000,000 x 0 elements")],
)  # fmt: skip
def test_an_array_that_no_report_can_hold_names_the_key(array: object, message: str) -> None:
    with pytest.raises(ReturnError) as error:
        plain({"a": array})
    assert message in str(error.value)


class Tensor:
    """As a library's tensor of a float is: it has the method for indices, and int() cuts the number."""

    def __index__(self) -> int:
        raise AttributeError("no index")

    def __int__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.5


def test_a_number_is_not_cut_to_an_integer() -> None:
    assert plain(Tensor()) == 0.5


def test_a_report_is_not_nested_deeper_than_rose_reads() -> None:
    assert function.MOST_DEPTH == codec.MOST_DEPTH
    for depth, is_read in ((function.MOST_DEPTH - 1, True), (function.MOST_DEPTH, False)):
        report: dict[str, Any] = {}
        for _ in range(depth):
            report = {"a": report}
        assert codec.is_shallow({"returned": report}) is is_read
        if is_read:
            assert plain(report) == report
            continue
        with pytest.raises(ReturnError, match="nested too deeply"):
            plain(report)


# --- the program ---------------------------------------------------------------------------------------------------


@dataclass
class Called:
    code: int
    out: str
    err: str
    returned: Any = None


@dataclass
class Program:
    """Calls functions of the module `own` in its folder, with the interpreter of the tests."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, text: str, *options: str, name: str = "own:f", flags: tuple[str, ...] = ()) -> Called:
        (self.folder / "own.py").write_text(dedent(text), encoding="utf-8")
        workspace = self.folder / "workspace"
        workspace.mkdir(exist_ok=True)
        found = self.folder / "return.json"
        found.unlink(missing_ok=True)
        environment = {
            "PATH": os.environ["PATH"], "ROSE_CAMPAIGN_DIR": str(self.folder), "ROSE_RETURN": str(found),
            "ROSE_ITERATION": "4", "ROSE_LEARNER": "a b", "ROSE_SEED": "12", "ROSE_WORKSPACE": str(workspace),
            "ROSE_REPLICA": "2", "ROSE_ATTEMPT": "1", **self.environment,
        }  # fmt: skip
        argv = [sys.executable, *flags, function.__file__, name, *options]
        done = subprocess.run(
            argv, env=environment, cwd=workspace, capture_output=True, text=True, timeout=60, check=False
        )
        return Called(
            done.returncode, done.stdout, done.stderr, json.loads(found.read_text()) if found.exists() else None
        )


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_values_have_the_types_that_they_were_passed_with(program: Program) -> None:
    text = """
        def f(**options):
            return {name: [type(value).__name__, value] for name, value in options.items()}
    """
    words = ["--n=5", "--lr=0.1", "--name=fast", '--number="5"', "--flag=true", '--list=[1, true, "a"]', "--empty="]
    assert program(text, *words).returned == {"returned": {
        "n": ["int", 5], "lr": ["float", 0.1], "name": ["str", "fast"], "number": ["str", "5"], "flag": ["bool", True],
        "list": ["list", [1, True, "a"]], "empty": ["str", ""],
    }}  # fmt: skip


def test_everything_that_rose_knows_can_be_asked_for(program: Program) -> None:
    text = """
        def f(iteration, learner, seed, results, workspace, replica, attempt):
            kind = type(workspace).__name__
            return {"is": [iteration, learner, seed, results, str(workspace), kind, replica, attempt]}
    """
    (program.folder / "results.json").write_text('{"sim": {"n": 1}}')
    place = str(program.folder / "workspace")
    found = program(text).returned
    assert found == {"returned": {"is": [4, "a b", 12, {}, place, "PosixPath", 2, 1]}}
    program.environment["ROSE_RESULTS"] = str(program.folder / "results.json")
    assert program(text).returned["returned"]["is"][3] == {"sim": {"n": 1}}


@pytest.mark.parametrize("flags", [(), ("-P",), ("-I",)] if sys.version_info >= (3, 11) else [(), ("-I",)])
def test_modules_beside_the_campaign_file_are_found_and_those_of_rose_are_not(
    program: Program, flags: tuple[str, ...]
) -> None:
    (program.folder / "launch.py").write_text("WHO = 'the user'\n")  # rose has a module of this name beside the program
    text = """
        import sys
        import launch
        def f():
            return {"who": launch.WHO, "argv": sys.argv, "path": sys.path[0]}
    """
    found = program(text, flags=flags).returned
    assert found == {"returned": {"who": "the user", "argv": ["own:f"], "path": str(program.folder)}}


def test_a_module_of_a_package_imports_what_is_beside_it(program: Program) -> None:
    package = program.folder / "pack"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "beside.py").write_text("N = 5\n")
    (package / "work.py").write_text("from .beside import N\ndef go(): return N\n")
    assert program("", name="pack.work:go").returned == {"returned": 5}


def test_what_it_prints_is_its_output_and_nothing_else(program: Program) -> None:
    called = program("import sys\ndef f():\n    print('out')\n    print('err', file=sys.stderr)\n    return 1 / 3\n")
    assert (called.code, called.out, called.err, called.returned) == (0, "out\n", "err\n", {"returned": 1 / 3})


def test_an_exception_is_shown_with_the_frames_of_the_user(program: Program) -> None:
    called = program("""
        def f():
            inner()
        def inner():
            raise ValueError("too large\\nby far")
    """)
    assert called.code == 1
    assert called.returned == {"raised": "ValueError: too large"}
    assert called.err.startswith("Traceback (most recent call last):\n")
    assert called.err.endswith("ValueError: too large\nby far\n")
    assert "function.py" not in called.err
    assert "in inner" in called.err


@pytest.mark.parametrize(
    ("text", "raised"),
    [("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
     ("def f(:", "SyntaxError: "), ("", "AttributeError: module 'own' has no attribute 'f'"),
     ("f = 5", "TypeError: 'own:f' is an object of type int, which cannot be called"),
     ("def f(a): return a", "TypeError: f() missing 1 required positional argument: 'a'"),
     ("def f(): return [1]", "it returned an object of type list: return a dict"),
     ("def f(): yield 1", "it returned an object of type generator"),
     ("def f(): return {'a': object()}", "the report's 'a' is an object of type object"),
     ("def f(): raise KeyError", "KeyError")],
)  # fmt: skip
def test_every_reason_is_in_a_line_and_on_standard_error(program: Program, text: str, raised: str) -> None:
    called = program(text)
    assert called.code == 1
    assert called.returned["raised"].startswith(raised)
    assert raised in called.err
    assert "function.py" not in called.err


def test_a_report_over_the_limit_fails_with_its_size_the_limit_and_what_to_do(program: Program) -> None:
    fits = REPORT_BYTES - len('{"n": 1, "text": ""}')
    text = "def f(size): return {'n': 1, 'text': 'x' * size}"
    assert len(program(text, f"--size={fits}").returned["returned"]["text"]) == fits
    called = program(text, f"--size={fits + 1}")
    assert called.code == 1
    assert called.returned["raised"] == (
        "what it returned has 65,537 bytes, and a report has at most 65,536 bytes: "
        "write it to a file in the workspace (its 'text' has 65,519 bytes)"
    )
    assert called.err == f"own:f: {called.returned['raised']}\n"


def test_a_number_with_too_many_digits_is_a_failure_with_a_reason(program: Program) -> None:
    called = program("def f(): return 10 ** 5000")
    assert (called.code, "function.py" in called.err) == (1, False)
    assert "4300 digits" in called.returned["raised"]


@pytest.mark.parametrize(
    ("leave", "code", "err"),
    [("sys.exit()", 0, ""), ("sys.exit(3)", 3, ""), ("sys.exit('no data')", 1, "no data\n"), ("os._exit(5)", 5, "")],
)
def test_a_function_may_leave_as_a_script_does(program: Program, leave: str, code: int, err: str) -> None:
    called = program(f"import os, sys\ndef f():\n    {leave}\n")
    assert (called.code, called.err, called.returned) == (code, err, None)


def test_a_function_is_found_again_where_it_is_pickled_and_in_processes(program: Program) -> None:
    called = program("""
        import multiprocessing, pickle
        def double(x):
            return 2 * x
        def f():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return {"map": pool.map(double, [1, 2]), "pickled": pickle.loads(pickle.dumps(double))(4)}
    """)
    assert called.returned == {"returned": {"map": [2, 4], "pickled": 8}}, called.err


def test_a_cold_start_imports_little(program: Program) -> None:
    """What the program adds to the start of an interpreter: every task pays it where there is no warm one."""
    called = program(
        "import sys\ndef f(seed): return {'heavy': sorted({'inspect', 'asyncio', 'typing'} & set(sys.modules))}"
    )
    assert called.returned == {"returned": {"heavy": []}}


def test_arrays_of_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    report = {"a": numpy.arange(3), "one": numpy.array([1.5]), "float": numpy.float32(0.5), "bool": numpy.bool_(True)}
    assert plain(report) == {"a": [0, 1, 2], "one": [1.5], "float": 0.5, "bool": True}
    assert plain(numpy.array([[1.5]])) == 1.5
    with pytest.raises(ReturnError):
        plain(numpy.arange(3))
