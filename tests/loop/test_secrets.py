"""Values that look like secrets stay where they have to be; values of options never reach a shell."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from rose_cli.plan.secrets import MASK, assigned, is_secret, masked, secrets_of, without

if TYPE_CHECKING:
    from tests.conftest import Rose

SECRET, INHERITED = "s3cr3t-of-the-file", "s3cr3t-of-the-terminal"


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "db_passwd", "APIKEY", "TOKEN", "MY_PAT"],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "KEYBOARD", "MONKEY", "PATH", "AUTHOR", "MESH"]
)
def test_names_of_none(name: str) -> None:
    assert not is_secret(name)


def test_what_is_shown() -> None:
    assert masked({"TOKEN": "x", "A": "x", "KEY": ""}) == {"TOKEN": MASK, "A": "x", "KEY": ""}
    secrets = secrets_of({"TOKEN": "abcdef", "OTHER_KEY": "abcdefgh", "KEY": "abc", "PLAIN": "ghijkl"})
    assert secrets == ("abcdefgh", "abcdef")
    assert without(secrets, {"a": ["x abcdefgh", ("abcdef", 5, None)]}) == {"a": [f"x {MASK}", (MASK, 5, None)]}


def test_a_secret_is_in_no_output_and_not_in_the_journal_and_comes_back_on_resume(rose: Rose) -> None:
    rose.script(
        '#!/bin/sh\necho "$API_TOKEN $HOME_PASSWORD" > seen\necho "denied: $API_TOKEN, $HOME_PASSWORD" >&2\n'
        'echo "{\\"used\\": \\"$API_TOKEN\\"}"\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n',
        "sim.sh",
    )
    text = f"{{max_iter: 1, learners: 1, env: {{API_TOKEN: {SECRET}}}, tasks: {{sim: {{executable: ./sim.sh}}}}}}"
    rose.write(text)
    plans = [rose("plan", "campaign.yaml", *more, HOME_PASSWORD=INHERITED).out for more in ((), ("--format", "json"))]
    assert json.loads(plans[1])["learners"][0]["iterations"][0]["tasks"][0]["env"]["API_TOKEN"] == MASK
    run = rose("run", "campaign.yaml", "--run-dir", "r", HOME_PASSWORD=INHERITED)
    assert run.code == 1
    for name in ("plan.json", "campaign.yaml"):
        assert stat.S_IMODE((rose.folder / "r" / name).stat().st_mode) == 0o600, name
    rose.write(text.replace(SECRET, "another-s3cr3t"))
    (rose.folder / "ok").touch()
    resumed = rose("resume", "r", HOME_PASSWORD=INHERITED)
    assert resumed.code == 0
    assert "env.API_TOKEN" in resumed.out + resumed.err
    workspace = rose.folder / "r/learners/learner-0/workspace"
    assert (workspace / "seen").read_text() == f"{SECRET} {INHERITED}\n"
    outputs = [*plans, run.out, run.err, resumed.out, resumed.err]
    outputs += [rose(*words).out for words in (("status", "r", "--format", "json"), ("export", "r"), ("list",))]
    outputs.append((rose.folder / "r/journal.jsonl").read_text())
    for output in outputs:
        assert "s3cr3t" not in output
    assert f"denied: {MASK}, {MASK}" in outputs[-1]


def test_a_secret_in_a_line_for_the_shell_is_in_no_output(rose: Rose) -> None:
    line = f"export API_TOKEN={SECRET} PLAIN=seen; no-such-command"
    rose.write(json.dumps({"max_iter": 1, "learners": 1, "pre_exec": line, "tasks": {"sim": {"executable": "env"}}}))
    shown = rose("plan", "campaign.yaml", "--format", "json").out
    run = rose("run", "campaign.yaml", "--run-dir", "r")
    assert run.code == 1
    assert stat.S_IMODE((rose.folder / "r/plan.json").stat().st_mode) == 0o600
    for output in (shown, run.out, run.err, (rose.folder / "r/journal.jsonl").read_text()):
        assert SECRET not in output
    assert f"export API_TOKEN={MASK} PLAIN=seen; no-such-command" in shown
    assert f"API_TOKEN={MASK} PLAIN=seen" in rose.learners("r")["learner-0"]["error"]["message"]


def test_values_that_lines_set() -> None:
    lines = ("export A_TOKEN='a b' KEY=x", 'B="c d"; C=$(date)', "if test x = y; then z; fi", "curl --data K=v | D=1")
    assert assigned(lines) == {"A_TOKEN": "a b", "KEY": "x", "B": "c d", "K": "v", "D": "1"}


def test_a_run_without_secrets_is_as_readable_as_the_umask_says(rose: Rose) -> None:
    rose.write("{max_iter: 1, env: {MESH: fine}, tasks: {sim: {executable: 'true'}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert stat.S_IMODE((rose.folder / "r/plan.json").stat().st_mode) & 0o400


EVIL = [
    "$(touch pwned)",
    "; touch pwned",
    "`touch pwned`",
    "| touch pwned",
    "x' ; touch pwned ; '",
    "&& touch pwned",
    "\\",
]


@pytest.mark.parametrize("more", [{}, {"pre_exec": "true"}, {"shell": True}])
def test_values_never_reach_a_shell(rose: Rose, more: dict[str, object]) -> None:
    """With `shell: true` the line is the user's own; the options at its end are quoted."""
    options = {f"--{number}": value for number, value in enumerate(EVIL)}
    task = {"executable": "{campaign_dir}/show.sh", "args": EVIL, "options": options, "env": {"EVIL": EVIL[0]}, **more}
    rose.script('#!/bin/sh\nprintf \'%s\\n\' "$@" "$EVIL"\n', "show.sh")
    rose.write(json.dumps({"max_iter": 1, "tasks": {"a": task}, "learners": [{"name": "$(touch pwned)"}]}))
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 0, called.out
    words = [*EVIL, *(word for pair in options.items() for word in pair), EVIL[0]]
    log = rose.folder / "r/learners/$(touch pwned)/logs/0/a.1.out"
    assert log.read_text().splitlines() == words
    assert not list(rose.folder.rglob("pwned"))
