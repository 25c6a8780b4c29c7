"""`notify`: a command gets the summary when a session has ended; whatever it does, nothing else changes."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from rose_cli.batch.records import JobFiles, Submission, job_name
from rose_cli.batch.request import JobRequest
from rose_cli.notify import Ended, send
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from tests.conftest import PATIENCE, REPOSITORY, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Rose

KEEP = "cat > {campaign_dir}/told.$$.json"


def campaign(rose: Rose, notify: str, *, sim: str = "'true'", more: str = "") -> None:
    """A campaign of two learners whose notices are kept in files."""
    rose.write(f"{{max_iter: 2, tasks: {{sim: {{executable: {sim}}}}}, learners: 2, notify: {notify}{more}}}")


def told(rose: Rose) -> list[dict[str, Any]]:
    """What the command got, in the order of time."""
    files = sorted(rose.folder.glob("told.*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def kept(when: str = "") -> str:
    return f'{{executable: "{KEEP}", shell: true{f", when: {when}" if when else ""}}}'


def test_the_end_of_a_campaign_is_told(rose: Rose) -> None:
    campaign(rose, kept(), more=", stop: {metric: own, operator: <, threshold: 1, executable: 'echo 0.5'}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert (called.code, "notify" in called.err) == (0, False)
    (summary,) = told(rose)
    assert (summary["ending"], summary["status"], summary["exit_code"], summary["reason"]) == (
        "finished", "done", 0, "finished",
    )  # fmt: skip
    assert summary["text"].startswith("✓ campaign finished in ")
    assert summary["run"] == str(rose.folder / "r")
    assert summary["stop_reasons"] == {"criterion_met": 2}
    assert summary["best"] == [
        {"learners": ["learner-0", "learner-1"], "iterations": [0, 0], "metric_name": "own", "value": 0.5}
    ]
    assert [each["best_value"] for each in summary["learners"]] == [0.5, 0.5]
    assert (summary["causes"], summary["resume"]) == ([], None)
    assert rose("resume", "r").code == 0
    assert len(told(rose)) == 1, "nothing has ended: there was nothing to do"


def test_a_failure_is_told_with_its_cause(rose: Rose) -> None:
    campaign(rose, kept(), sim="\"sh -c 'echo no such data >&2; exit 3'\"")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (summary,) = told(rose)
    assert (summary["ending"], summary["status"], summary["exit_code"]) == ("failed", "failed", 1)
    (cause,) = summary["causes"]
    assert (cause["learners"], cause["task"], cause["exit_code"], cause["stderr_tail"]) == (
        2,
        "sim",
        3,
        ["no such data"],
    )
    assert summary["resume"] == f"rose resume {rose.folder / 'r'}"
    assert rose("resume", "r").code == 1
    assert [each["session"] for each in told(rose)] == [1, 2], "another session, another end"


def test_an_interruption_is_told(rose: Rose) -> None:
    campaign(rose, kept(), sim="sleep 600")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: "process_spawned" in journal(rose))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    (summary,) = told(rose)
    assert (summary["ending"], summary["reason"], summary["exit_code"]) == ("interrupted", "interrupted", 130)
    assert summary["stop_reasons"] == {"unfinished": 2}


def journal(rose: Rose) -> str:
    path = rose.folder / "r/journal.jsonl"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize(("when", "count"), [("failed", 0), ("[failed, interrupted]", 0), ("[finished]", 1)])
def test_only_the_ends_that_are_listed_are_told(rose: Rose, when: str, count: int) -> None:
    campaign(rose, kept(when))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert len(told(rose)) == count
    assert (rose.folder / "r/notify.log").exists() == bool(count)


BAD = {
    "exit": ("echo oops; exit 9", "failed with exit code 9"),
    "signal": ("kill -KILL $$", "was ended by signal 9"),
    "hang": ("exec sleep 600", "did not end within 0.5 s"),
    "stubborn": ("trap '' TERM; exec 2>&1 >&-; while :; do sleep 0.1; done", "did not end within 0.5 s"),
    "huge": ("yes", "did not end within 0.5 s"),
    "deaf": ("exit 0", None),
    "children": ("sleep 600 & exit 0", None),
}


@pytest.mark.parametrize("name", BAD)
def test_whatever_the_command_does_is_one_line_and_no_exit_code(rose: Rose, name: str) -> None:
    line, problem = BAD[name]
    rose.script(f"#!/bin/sh\n{line}\n", "tell.sh")
    timeout = "0.5s" if problem is not None and "0.5 s" in problem else "5m"  # a busy machine is slow to start it
    campaign(rose, f"{{executable: ./tell.sh, timeout: {timeout}}}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 0
    lines = [each for each in called.err.splitlines() if "notify" in each]
    assert len(lines) == (problem is not None)
    assert problem is None or problem in lines[0]
    assert (rose.folder / "r/notify.log").stat().st_size < 100_000


def test_a_file_with_another_name_is_not_written_to(rose: Rose) -> None:
    campaign(rose, "echo told")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    mine, log = rose.folder / "mine", rose.folder / "r/notify.log"
    mine.write_text("mine\n" * (1 << 18))
    log.unlink()
    os.link(mine, log)
    assert rose("resume", "r", "--max-iter", "4").code == 0
    assert mine.read_text() == "mine\n" * (1 << 18)
    assert "told" in log.read_text()


def test_a_command_that_is_gone_is_one_line(rose: Rose) -> None:
    rose.script("#!/bin/sh\n", "tell.sh")
    campaign(rose, "./tell.sh", sim="\"sh -c 'rm {campaign_dir}/tell.sh || :'\"")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 0
    assert "notify: the command was not started: " in called.err


def test_ctrl_c_ends_a_command_that_hangs(rose: Rose) -> None:
    rose.script('#!/bin/sh\necho $$ > "$ROSE_CAMPAIGN_DIR/pid"\nexec sleep 600\n', "tell.sh")
    campaign(rose, "./tell.sh", sim="'false'")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: (rose.folder / "pid").exists() and (rose.folder / "pid").read_text().strip() != "")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, "the exit code of the session stays"
    assert "notify: the command was terminated, because rose was told to stop" in err
    number = int((rose.folder / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_session_that_was_killed_tells_nobody(rose: Rose) -> None:
    campaign(rose, kept(), sim="sleep 600")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: "process_spawned" in journal(rose))
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert told(rose) == []


def test_the_run_is_free_when_the_command_is_called(rose: Rose) -> None:
    line = "{python} -m rose_cli status {campaign_dir}/r --format json > {campaign_dir}/told.1.json"
    campaign(rose, f'{{executable: "{line}", shell: true}}')
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    (status,) = told(rose)
    assert status["status"] == "done"


def test_it_has_the_variables_of_tasks_and_the_end_in_short(rose: Rose) -> None:
    line = 'echo \\"$A $B $ROSE_ENDING $ROSE_CAMPAIGN $(basename $ROSE_RUN) $PWD\\"; echo \\"$ROSE_SUMMARY\\"; env'
    campaign(rose, f'{{executable: "{line}", shell: true, env: {{B: own}}}}', more=", env: {A: common, B: common}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    log = (rose.folder / "r/notify.log").read_text(encoding="utf-8").splitlines()
    assert log[1] == f"common own finished campaign r {rose.folder}"
    assert log[2].startswith("✓ campaign finished in ")
    assert not [each for each in log if each.startswith(("ROSE_LEARNER=", "ROSE_TAG"))]


def test_secrets_are_in_neither_the_summary_nor_the_log(rose: Rose) -> None:
    secret = "hunter2-hunter2-x"
    campaign(
        rose,
        f'{{executable: "tee {{campaign_dir}}/told.1.json; echo $TOKEN", shell: true, env: {{TOKEN: {secret}}}}}',
        sim=f"\"sh -c 'echo {secret} >&2; exit 1' --password {secret}\"",
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (summary,) = told(rose)
    assert summary["causes"][0]["stderr_tail"] == ["********"]
    assert secret not in json.dumps(summary)
    assert secret not in (rose.folder / "r/notify.log").read_text(encoding="utf-8")
    assert secret not in rose("plan", "campaign.yaml").out


def test_a_plan_names_the_command_and_a_smoke_run_does_not_call_it(rose: Rose) -> None:
    campaign(rose, kept("[failed]"))
    out = rose("plan", "campaign.yaml").out
    assert "notify: cat > {campaign_dir}/told.$$.json (failed)" in out
    campaign(rose, kept())
    assert rose("run", "campaign.yaml", "--smoke").code == 0
    assert told(rose) == []


def test_an_edited_command_applies_to_the_next_session(rose: Rose) -> None:
    campaign(rose, kept("[interrupted]"), sim="'false'")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    campaign(rose, kept("[failed]"), sim="'false'")
    called = rose("resume", "r")
    assert "notify" in called.err + called.out
    assert [each["session"] for each in told(rose)] == [2]


WRONG = {
    "a missing program": ("./none.sh", "there is no program './none.sh'"),
    "a placeholder of tasks": ("'echo {learner}'", "'{learner}' has no value in 'notify'"),
    "an unknown end": ("{executable: 'true', when: [ended]}", "expected finished, failed or interrupted"),
    "no end": ("{executable: 'true', when: []}", "expected at least one of finished, failed and interrupted"),
    "an unknown key": ("{executable: 'true', pre_exec: [x]}", "unknown key 'pre_exec'"),
    "no command": ("{when: failed}", "executable"),
}


@pytest.mark.parametrize("name", WRONG)
def test_validate_checks_it(rose: Rose, name: str) -> None:
    notify, message = WRONG[name]
    campaign(rose, notify)
    called = rose("validate", "campaign.yaml")
    assert called.code == 2
    assert message in called.err + called.out


def test_the_summary_has_the_keys_of_the_page(rose: Rose) -> None:
    campaign(rose, kept())
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    page = (REPOSITORY / "docs/campaign-file.md").read_text(encoding="utf-8").partition("| key of the summary |")[2]
    cells = re.findall(r"^\| (`.*?) \|", page.partition("\n\n")[0], re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(.*?)`", cell)} == set(told(rose)[0])


def test_a_chain_of_jobs_has_one_end(rose: Rose, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign(rose, kept("[interrupted]"), sim="sleep 600")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: "process_spawned" in journal(rose))
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert len(told(rose)) == 1
    info = read_run(RunDirectory.at(rose.folder / "r"))
    ended = Ended(info.plan, info.state, info.directory, os.environ, 143)
    files, run = JobFiles(info.directory.jobs), str(info.directory.path)
    files.submit(Submission("slurm", job_name("campaign", run), JobRequest(10, cores=2), 10, 1000.0, run=run))
    for number, job in enumerate(("11", "12"), start=1):
        files.claim(number)
        files.record(number, job)
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    send(ended)
    assert len(told(rose)) == 1, "the next job continues the run"
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    send(ended)
    assert len(told(rose)) == 2, "the last one is the end of the chain"


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    posted: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        self.posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[str]:
    """The address of a server that accepts everything."""
    Hook.posted.clear()
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def examples() -> list[str]:
    """The examples of the cookbook that call curl."""
    page = (
        (REPOSITORY / "docs/cookbook.md").read_text(encoding="utf-8").partition("## Notices")[2].partition("\n## ")[0]
    )
    blocks = [block.partition("```")[0] for block in page.split("```yaml part\n")[1:]]
    return [block for block in blocks if "curl" in block]


@pytest.mark.parametrize("number", range(2))
def test_the_examples_of_the_cookbook_post_to_a_server(rose: Rose, hook: str, number: int) -> None:
    example = examples()[number]
    for host in ("https://ntfy.sh", "https://hooks.slack.com"):
        example = example.replace(host, hook)
    rose.write("max_iter: 1\nlearners: 1\ntasks: {sim: {executable: 'false'}}\n" + example)
    called = rose("run", "campaign.yaml", "--run-dir", "r", SLACK_HOOK=f"{hook}/services/T/B/x")
    assert (called.code, "notify" in called.err) == (1, False), called.err
    ((path, body),) = Hook.posted
    text = json.loads(body)["text"] if path.startswith("/services") else body.decode()
    assert text.startswith("✗ campaign failed after ")
