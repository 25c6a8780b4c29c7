"""Values that look like secrets stay where they have to be; values of options never reach a shell."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rose_cli.util.redact import MASK, Secrets, masked_environment, masked_line, masked_words
from rose_cli.util.secrets import is_secret, secrets_in, secrets_of_environment, secrets_of_words
from tests.conftest import REPOSITORY
from tests.integration.secrets_corpus import GRAM, HARMLESS, NAMES, PRINTED, VALUES, core, pieces

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

SECRET, INHERITED = "s3cr3t-of-the-file", "s3cr3t-of-the-terminal"


def test_names_of_secrets() -> None:
    assert len(NAMES) >= 60
    assert [name for name in NAMES if not is_secret(name)] == []


def test_names_of_none() -> None:
    assert len(HARMLESS) >= 60
    assert [name for name in HARMLESS if is_secret(name)] == []


@pytest.mark.parametrize("value", VALUES)
def test_a_secret_is_found_however_it_is_printed(value: str) -> None:
    secret = VALUES[value](value)
    secrets = Secrets(secrets_of_environment({"API_TOKEN": secret}))
    for how, printed in PRINTED.items():
        shown = secrets.hidden(f"before {printed(secret)} after")
        assert _leaks(shown, value) == [], how
        assert shown.startswith("before ")
        assert shown.endswith(" after")


def test_every_name_makes_a_secret_of_every_value() -> None:
    pairs = [(name, make(f"{form} {name}")) for name in NAMES for form, make in VALUES.items()]
    assert len(pairs) >= 60 * 20
    for name, value in pairs:
        assert masked_environment({name: value}) == {name: MASK}
        assert value in secrets_of_environment({name: value})


def _leaks(text: str, *seeds: str) -> list[str]:
    """Pieces of secrets with these seeds that the text holds."""
    grams = {text[at : at + GRAM] for at in range(len(text) - GRAM + 1)}
    return sorted(piece for seed in seeds for piece in pieces(seed) & grams)


SHOWS_ITS_SECRETS = """\
import json, os, sys
sys.path.insert(0, sys.argv[1])
from tests.integration.secrets_corpus import HARMLESS, NAMES, PRINTED
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
    run = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "json", timeout_seconds=200, **terminal)
    outputs = {"run": run.out + run.err, "journal": (rose.folder / "r/journal.jsonl").read_text(encoding="utf-8")}
    looks = (
        ("plan", "campaign.yaml", "--format", "json"), ("resume", "r", "--dry-run"),
        ("status", "r", "--format", "json"), ("export", "r"),
    )  # fmt: skip
    outputs |= {" ".join(words): rose(*words, timeout_seconds=200, **terminal).out for words in looks}
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
        assert _leaks(Secrets(secrets_of_environment(variables)).hidden(f"x {secret} x"), *"abcde") == []
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
    assert _leaks(said + report.read_text(), "set", "option", "terminal") == []
    assert "env.A_TOKEN=********" in report.read_text()


@pytest.mark.parametrize("words", HARMLESS_WORDS)
def test_words_that_are_none(words: tuple[str, ...]) -> None:
    assert masked_words(words) == words


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
        text.replace(secret["word"], "changed").replace(secret["option"], "other").replace("pre_exec", "timeout")
    )
    resumed = rose("resume", "r", "--max-iter", "2", "--dry-run")
    looks = [rose("status", "r", "--format", "json"), rose("export", "r"), rose("export", "r", "--format", "jsonl")]
    outputs = [each.out + each.err for each in (*plan, run, resumed, *looks)]
    outputs.append((rose.folder / "r/journal.jsonl").read_text())
    for output in outputs:
        assert _leaks(output, *secret) == []
    assert f"--password {MASK} --token={MASK} --api-key {MASK} --n 4" in outputs[0]
    assert f"--password {MASK} --token={MASK} --api-key {MASK} --n 4" in outputs[-1]
    assert f"{MASK} → {MASK} (not applied)" in outputs[3]
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
        assert _leaks(said.out + said.err, "flow", "url", "line", "word", "plain", "block", "list") == [], call
    assert "1X: 2" in rose("validate", "campaign.yaml").out
    good = "{max_iter: 1, learners: 1, env: {A_TOKEN: x}, tasks: {sim: {executable: 'true', env: {A_TOKEN: y}}}}"
    rose.write(good, "good.yaml")
    settings = (f"env.A_TOKEN={core('given')}", f"env.A_TOKEN:{core('given')}", f"env.A_TOKEN={{x: {core('given')}}}",
                f"env={{A_TOKEN: {core('given')}}}", f"tasks.sim.args=[--password, {core('given')}, [1]]",
                f"tasks.sim.env.B_TOKEN={core('given')} #x")  # fmt: skip
    for setting in settings:
        said = rose("run", "good.yaml", "--dry-run", "--set", setting)
        assert _leaks(said.out + said.err, "given") == [], setting


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
