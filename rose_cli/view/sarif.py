"""Errors in campaign files as SARIF 2.1.0: for code scanning at GitHub and other services, and for editors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rose_cli import __version__
from rose_cli.config.allow import WARNING_CODES
from rose_cli.util.redact import masked_setting
from rose_cli.view.console import safe
from rose_cli.view.diagnostics import OPTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rose_cli.util.errors import Diagnostic, Span

_ROOT = "%SRCROOT%"
"""What GitHub and others call the root of the repository."""

RULES = {
    "bad-escape": "an escape in a string means no character",
    "bad-expression": "an adaptive expression has an error, or no value in some iteration",
    "bad-iteration-key": "a key of a schedule is not an iteration or a range of iterations",
    "bad-module": "a Python file with a function of the campaign cannot be read",
    "bad-name": "a name cannot be that of a task, a learner, an option or an environment variable",
    "bad-placeholder": "a brace is not part of a known placeholder",
    "bad-quotes": "a quote in a command is opened and never closed",
    "bad-regex": "a regular expression has an error",
    "bad-script": "a script cannot be started because of its first line",
    "bare-anchor": "an anchor has no value",
    "bare-word": "a word in a command is passed literally, although a file has this name",
    "block-text": "a `>` or `|` that was meant as an operator starts a block of text",
    "block-value": "a value from the command line is a block",
    "cannot-copy": "a file cannot be copied into workspaces",
    "cannot-read": "a campaign file cannot be read",
    "computed-option": "an expression is passed as plain text",
    "conflicting-keys": "two keys cannot be combined",
    "criterion-replicas": "a criterion has replicas, but yields a single value",
    "cut-by-comment": "a `#` starts a comment inside of a value",
    "default-operator": "a workflow of ROSE relies on its default operator, <, for a metric of which more is better",
    "differs": "an imported function gets or gives its values in another way than in ROSE",
    "directive": "a YAML directive has no effect or cannot be read",
    "doubtful-placeholder": "a placeholder is in code whose quoting its value can break",
    "duplicate-anchor": "an anchor is defined twice",
    "duplicate-key": "a key is there twice",
    "duplicate-name": "two things have one name, or names that differ only in case",
    "duplicate-value": "a value is listed twice",
    "empty-file": "a campaign file is empty",
    "file-too-large": "a campaign file is too large",
    "hidden-failure": "a shell line hides the failure of a program",
    "indentation": "a line is indented in a way that YAML does not allow",
    "invisible-character": "a name or value contains an invisible character",
    "iteration-never-comes": "a key of a schedule is an iteration that is never reached",
    "keys-look-like-starts": "the keys of a schedule look like starts, but apply to one iteration each",
    "lost-arguments": "arguments are not passed to the program of a shell line",
    "metric-name": "a custom metric has nearly the name of a standard one",
    "missing-argument": "a function needs an argument that no option sets",
    "missing-file": "a file that the campaign names does not exist",
    "missing-function": "a module has no function of this name",
    "missing-interpreter": "the interpreter of a script does not exist",
    "missing-key": "a required key is missing",
    "missing-module": "a module that the campaign names does not exist",
    "missing-operator": "a custom metric has no operator",
    "missing-program": "a program that the campaign names does not exist",
    "missing-script": "a script that the campaign names does not exist",
    "missing-space": "a space is missing after a colon or a dash",
    "missing-value": "a key has no value",
    "never-prunes": "no learner can be pruned",
    "never-runs": "the condition of a task is false in every iteration",
    "no-dashes": "the name of an option has no dashes",
    "no-launcher": "a shell line with several ranks starts them without a launcher",
    "no-learners": "there are no learners",
    "no-report": "an expression uses a report that cannot be there yet",
    "no-tasks": "there are no tasks",
    "not-a-map": "a campaign file does not contain a mapping",
    "not-carried-over": "a key of an imported workflow has no equivalent",
    "not-executable": "a script is not executable",
    "not-installed": "a package that the campaign needs is not installed here",
    "not-supported": "something that is requested is not supported",
    "not-utf8": "a campaign file is not UTF-8",
    "not-visible": "a GPU is not visible here",
    "odd-character": "a character is not allowed in YAML",
    "odd-key": "a key is not a string or an integer",
    "one-argument": "an option and its value are passed as one argument",
    "out-of-range": "a number is too small or too large",
    "outside-workspace": "a path is outside of the workspace",
    "own-module": "a module beside the campaign file cannot be preloaded",
    "patience-too-long": "a patience never stops a learner before `max_iter` does",
    "prints-nothing": "the program of a criterion prints nothing",
    "recursive-alias": "an alias contains itself",
    "relative-path": "a relative path is looked up in the workspace, not beside the campaign file",
    "renamed": "a name of an imported workflow had to be changed",
    "second-document": "a campaign file contains a second document",
    "shell-sign": "a character has a meaning only in a shell, and there is none",
    "similar-option": "two options differ only in case, dashes or underscores",
    "split-by-comma": "a comma splits a value in brackets",
    "srun-in-task": "a task calls srun itself",
    "tab": "a line is indented with tabs",
    "tag": "YAML tags are not allowed",
    "threshold-always-met": "a criterion is always met",
    "threshold-in-percent": "a threshold is a share, and the range in percent",
    "threshold-never-met": "a criterion can never be met",
    "too-deep": "values are nested too deeply",
    "too-large": "there is more of something than is allowed",
    "too-many-resources": "a task needs more cores, GPUs or memory than there are",
    "two-launchers": "a launcher starts another launcher",
    "typographic-sign": "a quotation mark or a dash is a typographic one",
    "unclosed-bracket": "a bracket is not closed",
    "unclosed-quote": "a quote is not closed",
    "unknown-alias": "an alias has no anchor",
    "unknown-code": "a comment allows a warning that does not exist",
    "unknown-key": "a key is unknown",
    "unknown-metric": "no learner has a criterion with this metric",
    "unknown-parameter": "a function has no parameter of this name",
    "unknown-resource": "radical.pilot does not know the machine",
    "unknown-task": "an expression names a task that does not exist, or whose report it cannot see",
    "unused-allow": "a comment allows a warning that is not there",
    "unused-anchor": "no alias refers to an anchor",
    "unused-key": "a key has no effect",
    "unused-preload": "`preload` has no effect",
    "unusual-operator": "an operator is not the usual one of the metric",
    "value-in-name": "the name of an option contains its value",
    "wrong-type": "a value has the wrong type",
    "wrong-value": "a value is not one of those that are possible",
    "yaml-syntax": "an error in the YAML",
}
"""What each code of a diagnostic stands for."""


def sarif_log(checked: Iterable[tuple[Path, str, Sequence[Diagnostic]]]) -> dict[str, Any]:
    """One run of rose over files, each with its text and its diagnostics."""
    root = _root(Path.cwd())
    found = [(file, text.splitlines(), each) for file, text, diagnostics in checked for each in diagnostics]
    codes = sorted({each.code for _, _, each in found})
    driver = {
        "name": "rose",
        "fullName": "rose validate",
        "semanticVersion": __version__,
        "rules": [_rule(code) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "the root of the repository"}}},
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(file, lines, each, codes, root) for file, lines, each in found],
    }
    schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
    return {"$schema": schema, "version": "2.1.0", "runs": [run]}


def _root(directory: Path) -> Path:
    """The top of the repository that a directory is in, or the directory."""
    return next((each for each in (directory, *directory.parents) if (each / ".git").exists()), directory)


def _rule(code: str) -> dict[str, Any]:
    text = RULES.get(code, code)
    sentence = f"{text[0].upper()}{text[1:]}."
    return {
        "id": code,
        "shortDescription": {"text": sentence.replace("`", "")},
        "help": {
            "text": f"{sentence.replace('`', '')} `rose validate` shows the line with a hint.",
            "markdown": f"{sentence} `rose validate` shows the line with a hint.",
        },
        "defaultConfiguration": {"level": "warning" if code in WARNING_CODES else "error"},
        "properties": {"tags": ["rose", "campaign"]},
    }


def _result(file: Path, lines: Sequence[str], each: Diagnostic, codes: list[str], root: Path) -> dict[str, Any]:
    message, region = each.message, _region(each.span, lines)
    if each.file.startswith(OPTION):  # on the command line, which no viewer can show
        message, region = f"{masked_setting(each.file)}: {message}", {}
    if each.hint:
        message += f"\nhelp: {each.hint}"
    place: dict[str, Any] = {"artifactLocation": _location(file, root), **({"region": region} if region else {})}
    return {
        "ruleId": each.code,
        "ruleIndex": codes.index(each.code),
        "level": each.severity.value,
        "message": {"text": _valid(safe(message, keep="\n"))},
        "locations": [{"physicalLocation": place}],
    }


def _location(file: Path, root: Path) -> dict[str, str]:
    path = Path(os.path.abspath(file))  # noqa: PTH100 - as named: where a symbolic link points to is not the repository
    if path.is_relative_to(root):
        return {"uri": quote(os.fsencode(path.relative_to(root))), "uriBaseId": _ROOT}
    return {"uri": path.as_uri()}


def _region(span: Span | None, lines: Sequence[str]) -> dict[str, int]:
    if span is None:
        return {}
    return {
        "startLine": span.line,
        "startColumn": _units(span.line, span.column, lines),
        "endLine": span.end_line,
        "endColumn": _units(span.end_line, span.end_column, lines),
    }


def _units(line: int, column: int, lines: Sequence[str]) -> int:
    """A column in characters as one in UTF-16 code units, of which an emoji has two."""
    before = lines[line - 1][: column - 1] if line <= len(lines) else ""
    return column + sum(ord(character) > 0xFFFF for character in before)


def _valid(text: str) -> str:
    """Without lone surrogates, which stand for bytes that are not UTF-8: not every reader of JSON accepts them."""
    return text.encode(errors="replace").decode()
