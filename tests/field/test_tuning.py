"""What people report about tools for tuning and experiments, tried on rose; `tuning.md` is the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Rose

ECHO = """\
import json, sys
print(json.dumps({"words": sys.argv[1:]}))
"""
"""Reports the words that it is called with."""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """One run for all that is asked about words of a command line."""
    rose = Rose(tmp_path_factory.mktemp("options"))
    rose.write(ECHO, "echo.py")
    rose.write(
        """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--shift", type=float)
        parser.add_argument("--scale", type=float)
        print(vars(parser.parse_args()))
        """,
        "parse.py",
    )
    rose.write(
        """
        max_iter: 5
        tasks: {s: {executable: "{python} echo.py"}}
        learners:
          - name: letters
            max_iter: 1
            env: {VERSION: 3.10, RATE: 1e-3, MASK: 0x1F}
            s:
              args: [0.10, 3.10, 1e-3]
              options: {--a: 0.10, --b: [1e-3, 0x1F, .5, +5], --c: 0.1234567890123456789012345}
          - name: negative
            s: {executable: "{python} parse.py", adaptive: {--shift: "-0.1**(i+2)"}, options: {--scale: -0.00001}}
          - name: joined
            max_iter: 1
            s: {options: {lr=: 0.1, debug=: false, --p=: -foo, --q=: [1, -2]}, adaptive: {x=: "-0.00001*(i+1)"}}
          - name: equation
            max_iter: 1
            s: {options: {--equation: "1 + 2 = 3"}}
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 0
    return rose


def reported(rose: Rose, learner: str) -> list[str]:
    rows = [json.loads(line) for line in rose("export", "run", "--format", "jsonl").out.splitlines()]
    found: list[str] = next(row["result.words"] for row in rows if row["learner"] == learner)
    return found


def test_numbers_arrive_letter_by_letter(options: Rose) -> None:
    given = "0.10 3.10 1e-3 --a 0.10 --b 1e-3 0x1F .5 +5 --c 0.1234567890123456789012345"
    assert " ".join(reported(options, "letters")) == given
    planned = options.json("plan", "campaign.yaml", "--learner", "letters", "--format", "json")
    variables = planned["learners"][0]["iterations"][0]["tasks"][0]["env"]
    assert [variables[name] for name in ("VERSION", "RATE", "MASK")] == ["3.10", "1e-3", "0x1F"]


def test_exports_have_numbers(options: Rose) -> None:
    row: dict[str, Any] = json.loads(options("export", "run", "--format", "jsonl").out.splitlines()[0])
    assert row["option.s.--a"] == 0.1
    assert row["option.s.--b"] == [0.001, 31, 0.5, 5]


def test_a_small_negative_number_reaches_argparse(options: Rose) -> None:
    logs = options.folder / "run/learners/negative/logs"
    printed = [(logs / f"{iteration}/s.1.out").read_text() for iteration in range(5)]
    assert printed[4] == f"{{'shift': {-(0.1**6)!r}, 'scale': -1e-05}}\n"
    assert len(set(printed)) == 5


def test_a_name_with_an_equals_sign_is_joined_to_its_value(options: Rose) -> None:
    expected = ["lr=0.1", "debug=false", "--p=-foo", "--q=1", "--q=-2", "x=-0.00001"]
    assert reported(options, "joined") == expected


def test_a_value_with_equals_signs_arrives_whole(options: Rose) -> None:
    assert reported(options, "equation") == ["--equation", "1 + 2 = 3"]
