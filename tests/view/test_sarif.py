"""`rose validate --format sarif`, by the schema of SARIF 2.1.0 and as code scanning reads it."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jsonschema

from rose_cli.config.allow import WARNING_CODES
from rose_cli.util.errors import Diagnostic, Severity, Span
from rose_cli.view.sarif import RULES, sarif_log
from tests.campaign_texts import WRONG
from tests.conftest import REPOSITORY, Rose
from tests.others import node_module

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SCHEMA = "@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"


def log_of(rose: Rose, *files: str, code: int = 2) -> dict[str, Any]:
    called = rose("validate", "--format", "sarif", *files)
    assert (called.code, called.err) == (code, "")
    found: dict[str, Any] = json.loads(called.out)
    return found


def results(log: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log["runs"][0]["results"]
    return found


def place(result: dict[str, Any]) -> dict[str, Any]:
    (location,) = result["locations"]
    found: dict[str, Any] = location["physicalLocation"]
    return found


def test_all_that_validate_reports_is_there_at_the_same_places(rose: Rose) -> None:
    """Several files: with errors, with none, with a warning, one that is not YAML and one that is not there."""
    names = ["engines", "tabs", "iterations-that-never-come", "wrong-types-in-a-task"]
    for path in WRONG:
        if path.stem in names:
            (rose.folder / "campaigns").mkdir(exist_ok=True)
            rose.write(path.read_text(encoding="utf-8"), f"campaigns/{path.name}")
    rose.write("{tasks: {a: {executable: 'true'}}, learners: 1, max_iter: 1}\n", "campaigns/right.yaml")
    files = [*(f"campaigns/{name}.yaml" for name in names), "campaigns/right.yaml", "missing.yaml"]
    log = log_of(rose, *files)
    told = json.loads(rose("validate", "--format", "json", *files).out)
    assert len(told) > 15
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    for result, each in zip(results(log), told, strict=True):
        region, location = place(result).get("region"), place(result)["artifactLocation"]
        assert (result["ruleId"], result["level"]) == (each["code"], each["severity"])
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"] == each["message"] + (f"\nhelp: {each['hint']}" if each["hint"] else "")
        assert location == {"uri": each["file"], "uriBaseId": "%SRCROOT%"}
        ends = ("line", "column", "end_line", "end_column")
        assert list((region or dict.fromkeys(ends)).values()) == [each[key] for key in ends]
    jsonschema.Draft7Validator(json.loads(node_module(SCHEMA).read_text(encoding="utf-8"))).validate(log)


def test_every_rule_is_valid_and_says_what_is_wrong(tmp_path: Path) -> None:
    found = [Diagnostic(code, "message", file="a.yaml") for code in RULES]
    log = sarif_log([(tmp_path / "a.yaml", "", found)])
    assert {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]} == RULES.keys()
    for rule in log["runs"][0]["tool"]["driver"]["rules"]:
        assert re.fullmatch(r"[A-Z].*\.|preload .*\.", rule["shortDescription"]["text"])
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] == ("warning" if rule["id"] in WARNING_CODES else "error")
    jsonschema.Draft7Validator(json.loads(node_module(SCHEMA).read_text(encoding="utf-8"))).validate(log)


def test_every_code_of_a_diagnostic_is_a_rule() -> None:
    assert RULES.keys() >= WARNING_CODES
    assert set(_codes()) - RULES.keys() == set(), "say in view/sarif.py what the code stands for"
    golden = {code for path in WRONG for code in _golden(path.with_suffix(".txt"))}
    assert RULES.keys() >= golden


def _golden(path: Path) -> list[str]:
    return re.findall(r"(?:error|warning)\[([\w-]+)\]", path.read_text(encoding="utf-8"))


def _codes() -> list[str]:
    """The first arguments of what makes a diagnostic."""
    found = []
    for path in (REPOSITORY / "rose_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in ("Diagnostic", "fail", "diagnostic"):
                code = node.args[0]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    found.append(code.value)
    assert len(found) > 150
    return found


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def test_a_file_without_errors_is_a_run_without_results(rose: Rose) -> None:
    rose.write("{tasks: {a: {executable: 'true'}}, learners: 1, max_iter: 1}\n")
    log = log_of(rose, "campaign.yaml", code=0)
    assert results(log) == []
    assert log["runs"][0]["tool"]["driver"]["rules"] == []


def test_columns_count_the_units_of_utf_16(rose: Rose) -> None:
    """An emoji has two, in this file before the error."""
    rose.write('{max_iter: 1, name: "🌹🌹", tasks: {a: {executable: "true"}}, learners: 1, sed: 1}\n')
    (result,) = results(log_of(rose, "campaign.yaml"))
    line = (rose.folder / "campaign.yaml").read_text(encoding="utf-8")
    region = place(result)["region"]
    assert line.encode("utf-16-le")[2 * (region["startColumn"] - 1) : 2 * (region["endColumn"] - 1)].decode(
        "utf-16-le"
    ) == ("sed")


def test_paths_are_relative_to_the_repository_wherever_rose_is_called(rose: Rose) -> None:
    (rose.folder / ".git").mkdir()
    below = Rose(rose.folder / "deep/er")
    below.folder.mkdir(parents=True)
    below.write("a: 1\n", "file of ünïcode#1.yaml")
    called = below("validate", "--format", "sarif", "file of ünïcode#1.yaml")
    location = place(results(json.loads(called.out))[0])["artifactLocation"]
    assert location["uriBaseId"] == "%SRCROOT%"
    assert "#" not in location["uri"]
    assert unquote(location["uri"]) == "deep/er/file of ünïcode#1.yaml"


def test_a_file_outside_of_the_repository_has_an_absolute_uri(
    rose: Rose, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "campaign.yaml"
    other.write_text("a: 1\n", encoding="utf-8")
    (location,) = {json.dumps(place(each)["artifactLocation"]) for each in results(log_of(rose, str(other)))}
    assert json.loads(location) == {"uri": other.as_uri()}


def test_an_error_on_the_command_line_names_the_option_and_no_line(rose: Rose) -> None:
    rose.write("{tasks: {a: {executable: 'true'}}, learners: 1, max_iter: 1}\n")
    called = rose("validate", "--format", "sarif", "--set", "max_iter=many", "campaign.yaml")
    (result,) = results(json.loads(called.out))
    assert result["message"]["text"].startswith("--set max_iter=many: max_iter: expected an integer")
    assert place(result) == {"artifactLocation": {"uri": "campaign.yaml", "uriBaseId": "%SRCROOT%"}}


def test_hostile_messages_stay_valid(tmp_path: Path) -> None:
    text = "a\x1b[31m\udc80\u2028</script>"
    hostile = Diagnostic("wrong-value", text, hint=text, severity=Severity.WARNING, span=Span(9, 9, 9, 12))
    shown = results(sarif_log([(tmp_path / "a\udc80.yaml", "x", [hostile])]))[0]
    assert "\x1b" not in shown["message"]["text"]
    json.dumps(shown, ensure_ascii=False).encode()
    assert place(shown)["region"]["startColumn"] == 9
