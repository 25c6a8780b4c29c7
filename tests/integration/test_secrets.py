"""Values that look like secrets stay where they have to be; values of options never reach a shell."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rose_cli.util.redact import MASK
from tests.conftest import REPOSITORY
from tests.secrets_corpus import GRAM, HARMLESS, NAMES, VALUES, core, leaks, pieces

if TYPE_CHECKING:
    from tests.conftest import Rose

SECRET, INHERITED = "s3cr3t-of-the-file", "s3cr3t-of-the-terminal"


SHOWS_ITS_SECRETS = """\
import json, os, sys
sys.path.insert(0, sys.argv[1])
from tests.secrets_corpus import leaks
from tests.secrets_corpus import HARMLESS, NAMES, PRINTED
ways, shift = list(PRINTED), int(os.environ["ROSE_LEARNER_INDEX"])
printed = {
    name: PRINTED[ways[(shift + number) % len(ways)]](os.environ[name])
    for number, name in enumerate(NAMES) if name in os.environ
}
printed.update({name: os.environ[name] for name in HARMLESS if name in os.environ})
with open(os.environ["ROSE_RESULT"], "w") as file:
    json.dump(printed, file)
print(*printed.values(), sep="\\n", file=sys.stderr)
print(*(os.environ[name] for name in NAMES if name in os.environ), sep="\\n", file=sys.stderr)
sys.exit(os.environ["ROSE_TASK"] == "fails")
"""


def test_no_secret_of_the_corpus_comes_out_of_a_session(rose: Rose) -> None:
    """Learners with all names, each with values of another form; one with harmless names; one with the terminal's."""
    rose.write(SHOWS_ITS_SECRETS, "shows.py")
    command = {"executable": "{python} -S {campaign_dir}/shows.py", "args": [str(REPOSITORY)]}
    learners = [
        {"name": f"shift-{shift}", "env": {name: _as_given(_value(name, f"{shift} {name}", shift)) for name in NAMES}}
        for shift in SHIFTS
    ]
    learners += [{"name": "harmless", "env": {name: f"plain {name}" for name in HARMLESS}}, {"name": "terminal"}]
    tasks = {"reports": command, "fails": {**command, "on_failure": "continue"}}
    rose.write(json.dumps({"max_iter": 1, "tasks": tasks, "learners": learners}, ensure_ascii=False))
    terminal = {name: _value(name, f"terminal {name}") for name in NAMES}
    run = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "json", **terminal)
    outputs = {"run": run.out + run.err, "journal": (rose.folder / "r/journal.jsonl").read_text(encoding="utf-8")}
    looks = (
        ("plan", "campaign.yaml", "--format", "json"), ("resume", "r", "--dry-run"),
        ("status", "r", "--format", "json"), ("export", "r"), ("report", "r", "--format", "md"),
        ("report", "r", "-o", "-"),
        ("status", "r", "--results", "--all-options", "--format", "json"), ("status", "r", "--results"),
    )  # fmt: skip
    outputs |= {" ".join(words): rose(*words, **terminal).out for words in looks}
    secret = {piece for whose in ("terminal", *SHIFTS) for name in NAMES for piece in pieces(f"{whose} {name}")}
    for what, text in outputs.items():
        assert sorted({text[at : at + GRAM] for at in range(len(text) - GRAM + 1)} & secret) == [], what
    plain = {name: f"plain {name}" for name in HARMLESS}
    result = rose.learners("r")["harmless"]["result"]
    assert {name: result[name] for name in HARMLESS} == plain
    reports = [event["result"] for event in rose.events("r") if event.get("task") == "reports" and "result" in event]
    assert len(reports) == len(learners)
    assert all(list(report)[: len(NAMES)] == NAMES for report in reports)
    shown = json.loads(outputs["plan campaign.yaml --format json"])["learners"]
    variables = [learner["iterations"][0]["tasks"][0]["env"] for learner in shown]
    assert all(env[name] == MASK for env in variables[: len(SHIFTS)] for name in NAMES)
    assert {name: variables[-2][name] for name in HARMLESS} == plain


SHIFTS = range(0, len(VALUES), 4)


def _value(name: str, seed: str, shift: int = 0) -> str:
    """A value in a form that the name and the shift choose."""
    makers = list(VALUES.values())
    return makers[(NAMES.index(name) + shift) % len(makers)](seed)


def _as_given(value: str) -> str:
    return value.replace("{", "{{").replace("}", "}}")


def test_a_bug_report_holds_no_secret(rose: Rose) -> None:
    """Neither the command line, nor what went wrong, nor variables."""
    program = """\
    import sys
    from rose_cli import cli
    given = "env.A_TOKEN=" + sys.argv[1], "--set=tasks.a.options.--api-key=" + sys.argv[2]
    sys.argv[1:] = ["run", "x.yaml", "--set", *given]
    try:
        raise KeyError(" ".join(sys.argv))
    except KeyError as error:
        cli._report_bug(error)
    """
    rose.write(program, "bug.py")
    done = subprocess.run(
        [sys.executable, "bug.py", core("set"), core("option")], cwd=rose.folder, capture_output=True,
        text=True, check=False, env={**rose.environment, "TMPDIR": str(rose.folder), "B_TOKEN": core("terminal")},
    )  # fmt: skip
    (report,) = rose.folder.glob("rose-bug-*.txt")
    said = done.stdout + done.stderr
    assert "this is a bug in rose: KeyError" in said
    assert leaks(said + report.read_text(), "set", "option", "terminal") == []
    assert "env.A_TOKEN=********" in report.read_text()


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
    assert "env API_TOKEN" in resumed.out + resumed.err
    workspace = rose.folder / "r/learners/learner-0/workspace"
    assert (workspace / "seen").read_text() == f"another-s3cr3t {INHERITED}\n"
    outputs = [*plans, run.out, run.err, resumed.out, resumed.err]
    outputs += [rose(*words).out for words in (("status", "r", "--format", "json"), ("export", "r"), ("list",))]
    outputs += [rose("report", "r", "--format", "md").out, rose("report", "r", "-o", "-").out]
    outputs.append(rose("status", "r", "--results", "--all-options", "--format", "json").out)
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


def test_secrets_of_a_command_are_in_no_output(rose: Rose) -> None:
    """In options, arguments, lines, URLs and values with placeholders, as rose fills them in; all is private then."""
    secret = {place: core(place) for place in ("option", "word", "joined", "url", "line", "filled", "braces", "regex")}
    (rose.folder / "sim.sh").write_text(
        '#!/bin/sh\necho "$@" $FILLED_TOKEN $A_PASSWORD $DB $L_TOKEN >&2\necho 1; exit 3\n'
    )
    (rose.folder / "sim.sh").chmod(0o755)
    campaign = {
        "max_iter": 1,
        "learners": [{"name": "zoe"}],
        "env": {
            "FILLED_TOKEN": f"{secret['filled']}-{{learner}}-{{iteration}}",
            "A_PASSWORD": f"pa{{{{ss}}}}{secret['braces']}",
            "DB": f"postgres://user:{secret['url']}@host/db",
        },
        "pre_exec": f"export L_TOKEN={secret['line']}",
        "tasks": {
            "sim": {
                "executable": "./sim.sh",
                "args": ["--password", secret["word"], f"--token={secret['joined']}"],
                "options": {"--api-key": secret["option"], "--n": 4},
                "on_failure": "continue",
            },
            "odd": {"executable": f"no-such-program --api-key {secret['regex']}", "on_failure": "continue"},
        },
    }
    text = json.dumps(campaign)
    rose.write(text)
    plan = rose("plan", "campaign.yaml"), rose("plan", "campaign.yaml", "--format", "json")
    run = rose("run", "campaign.yaml", "--run-dir", "r")
    rose.write(
        text.replace(secret["word"], "replaced-word")
        .replace(secret["option"], "other")
        .replace(secret["line"], "fresh")
    )
    resumed = rose("resume", "r", "--max-iter", "2", "--dry-run")
    looks = [rose("status", "r", "--format", "json"), rose("export", "r"), rose("export", "r", "--format", "jsonl")]
    looks.append(rose("status", "r", "--results", "--all-options", "--format", "json"))
    outputs = [each.out + each.err for each in (*plan, run, resumed, *looks)]
    outputs.append((rose.folder / "r/journal.jsonl").read_text())
    for output in outputs:
        assert leaks(output, *secret) == []
    assert f"--password {MASK} --token={MASK} --api-key {MASK} --n 4" in outputs[0]
    assert f"--password {MASK} --token={MASK} --api-key {MASK} --n 4" in outputs[-1]
    assert f"sim options --api-key: {MASK} → {MASK}" in outputs[3]
    assert f"pre_exec: export L_TOKEN={MASK} → export L_TOKEN={MASK}" in outputs[3]
    assert f",{MASK},4" in outputs[5], "options in an export"
    failed = [event for event in rose.events("r") if event["event"] == "attempt_failed"]
    assert [event["command"] for event in failed][1] == f"no-such-program --api-key {MASK}"
    assert stat.S_IMODE((rose.folder / "r/plan.json").stat().st_mode) == 0o600


def test_validate_shows_no_secret(rose: Rose) -> None:
    """The line with the mistake, messages and hints; and what is said of the command line."""
    rose.write(
        f"""\
        max_iter: ten
        env: {{API_TOKEN: {core("flow")}, 1X: 2, DB: "pg://u:{core("url")}@h/d"}}
        pre_exec:
          - export A_TOKEN={core("line")}
        tasks:
          sim:
            executable: "true {{nowhere}} --api-key {core("word")}"
            env:
              B_PASSWORD: correct {core("plain")} battery   # a remark
              C_KEY: |
                {core("block")}
              D_SECRET: [{core("list")}]
        """
    )
    validate = ("validate", "campaign.yaml")
    for call in (
        validate,
        (*validate, "--format", "json"),
        (*validate, "--format", "github"),
        ("run", "campaign.yaml"),
    ):
        said = rose(*call)
        assert said.code == 2
        assert leaks(said.out + said.err, "flow", "url", "line", "word", "plain", "block", "list") == [], call
    assert "1X: 2" in rose("validate", "campaign.yaml").out
    good = "{max_iter: 1, learners: 1, env: {A_TOKEN: x}, tasks: {sim: {executable: 'true', env: {A_TOKEN: y}}}}"
    rose.write(good, "good.yaml")
    settings = (f"env.A_TOKEN={core('given')}", f"env.A_TOKEN:{core('given')}", f"env.A_TOKEN={{x: {core('given')}}}",
                f"env={{A_TOKEN: {core('given')}}}", f"tasks.sim.args=[--password, {core('given')}, [1]]",
                f"tasks.sim.env.B_TOKEN={core('given')} #x")  # fmt: skip
    for setting in settings:
        said = rose("run", "good.yaml", "--dry-run", "--set", setting)
        assert leaks(said.out + said.err, "given") == [], setting


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
