"""Whatever a tracker does, the campaign does not notice."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli import run_session
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.lock import read_owner
from rose_cli.track import supervisor
from rose_cli.track.child import MOST_LOG
from rose_cli.track.position import is_sending, tracker_directory
from rose_cli.track.session import Tracking
from rose_cli.track.supervisor import Feed, SupervisedRun, supervise
from rose_cli.util.processes import process_is_running
from tests.conftest import PATIENCE, REPOSITORY, Rose, wait_until
from tests.track.conftest import WAIT

if TYPE_CHECKING:
    from tests.track.conftest import Tracked

IMPATIENT = {WAIT: "5"}
"""For trackers that hang."""

HEAD = "import os, signal, sys, time\nfrom small_tracker import Small\nclass Nasty(Small):\n"

NASTY = {
    "raises at import": "raise RuntimeError('no good')\n",
    "exits at import": "raise SystemExit(3)\n",
    "is no tracker": "Nasty = 3\n",
    "exits": HEAD + "    def send(self, changes): os._exit(7)\n",
    "is killed": HEAD + "    def open(self, run, memory): os.kill(os.getpid(), signal.SIGKILL)\n",
    "raises": HEAD + "    def send(self, changes): raise ValueError('not\\nthis')\n",
    "is slow": HEAD + "    def send(self, changes):\n        time.sleep(1)\n        super().send(changes)\n",
    "prints": HEAD + "    def send(self, changes):\n"
    "        for _ in range(1 << 10): sys.stdout.write('x' * (1 << 20))\n        super().send(changes)\n",
    "reports garbage": HEAD + "    def send(self, changes):\n"
    "        for number in range(3, 64):\n"
    "            try: os.write(number, b'{}\\n[[[\\n\\xff\\n{\"position\": 3}\\n')\n"
    "            except OSError: pass\n"
    "        super().send(changes)\n",
    "closes everything": HEAD + "    def open(self, run, memory):\n        os.closerange(0, 64)\n",
    "remembers too much": HEAD + "    def send(self, changes): self.memory['x'] = 'x' * (1 << 25)\n",
    "remembers no JSON": HEAD + "    def send(self, changes): self.memory['x'] = object()\n",
    "hangs": HEAD + "    def open(self, run, memory):\n        while True: time.sleep(1000)\n",
}


def test_no_tracker_can_change_stop_or_fail_a_campaign(tracked: Tracked) -> None:
    """All of them at once, and one that does its work."""
    names = {f"nasty{number}": name for number, name in enumerate(NASTY)}
    for name, what in names.items():
        tracked.install(name, NASTY[what], "Nasty")
    settings = ", ".join(f"{name}: {{file: {name}.txt}}" for name in names)
    tracked.campaign(f"{{{settings}, small: {{file: heard.txt}}}}")
    called = tracked("run", "campaign.yaml", "-o", "quiet", **IMPATIENT)
    assert called.code == 0, called.err
    assert [each["history"] for each in tracked.rose.status(tracked.run)["learners"]] == [[10.0, 9.0, 8.0]] * 2
    run = RunDirectory.at(tracked.run)
    wait_until((tracked.run / "track/small/position.json").exists)  # the last one that is started
    hanging = next(name for name, what in names.items() if what == "hangs")
    for name in (*names, "small"):
        if name != hanging:
            wait_until(lambda name=name: not is_sending(run, name))  # type: ignore[misc]
    end_supervisor(run, hanging)
    told = {each["name"]: each for each in tracked.rose.status(tracked.run)["trackers"]}
    whole = {what for name, what in names.items() if told[name]["complete"]}
    assert whole == {"is slow", "prints", "reports garbage"}
    assert told["small"]["complete"]
    assert len(tracked.told("IterationFinished")) == 6
    reasons = {what: told[name]["trouble"] for name, what in names.items() if what not in whole}
    assert reasons == {
        "raises at import": "RuntimeError: no good",
        "exits at import": "SystemExit: 3",
        "is no tracker": "TypeError: 'int' object is not callable",
        "exits": "its process ended with exit code 7",
        "is killed": "its process was killed by SIGKILL",
        "raises": "ValueError: not",
        "closes everything": reasons["closes everything"],
        "remembers too much": "its memory is larger than 15 MB",
        "remembers no JSON": "TypeError: Object of type object is not JSON serializable",
        "hangs": None,
    }
    lines = tracked.rose("status").err
    rest = "`rose track rose-runs/" + tracked.run.name
    assert {what for name, what in names.items() if f"{rest} {name}`" in lines} == set(names.values()) - whole
    for name in names:
        assert (tracked.run / f"track/{name}/log.txt").stat().st_size < 2 * MOST_LOG
        assert (
            f"`rose track rose-runs/{tracked.run.name} {name}`" in tracked.rose("status").err or told[name]["complete"]
        )


def end_supervisor(run: RunDirectory, name: str = "nasty") -> None:
    """Kill it; its last worker ends with it."""
    owner = read_owner(tracker_directory(run, name))
    assert owner is not None
    worker = int(Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text())
    os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not process_is_running(worker, None))


def test_the_words_of_a_failure_are_told(tracked: Tracked) -> None:
    text = HEAD + (
        "    def open(self, run, memory):\n"
        "        from rose_cli.track.interface import TrackerError\n"
        "        raise TrackerError('no such server: \\x1b[31m', 'set another uri', temporary=False)\n"
    )
    tracked.install("nasty", text, "Nasty")
    tracked.campaign("{nasty: {file: heard.txt}}")
    called = tracked("run", "campaign.yaml", "-o", "quiet")
    run = "rose-runs/" + tracked.run.name
    wait_until(lambda: not is_sending(RunDirectory.at(tracked.run), "nasty"))
    words = f"not received everything: no such server: \\x1b[31m (set another uri); `rose track {run} nasty`"
    assert words in called.err
    assert words in tracked("status").err
    (found,) = tracked.rose.status(tracked.run)["trackers"]
    assert (found["name"], found["complete"], found["sending"]) == ("nasty", False, False)
    again = tracked("track", "latest")
    assert again.code == 1
    assert "'nasty' has not received everything: no such server" in again.err
    assert "help: set another uri" in again.err


@pytest.fixture
def finished(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> Tracked:
    """A run that has ended, of a campaign without trackers."""
    monkeypatch.setenv("PYTHONPATH", tracked.variables["PYTHONPATH"])
    monkeypatch.setattr(supervisor, "CALL_SECONDS", supervisor.CALL_SECONDS)  # as before, after the test
    tracked.campaign("{}")
    assert tracked("run", "campaign.yaml", "-o", "quiet").code == 0
    return tracked


def fed(tracked: Tracked, source: str) -> Feed:
    tracked.install("nasty", source, "Nasty")
    run = SupervisedRun(RunDirectory.at(tracked.run))
    feed = Feed(run, "nasty", {"file": "heard.txt"}, None)
    supervise([feed], None, lambda: hurry(feed))
    return feed


def hurry(feed: Feed) -> None:
    """Let only a call of `send` take a short time: a process may start as slowly as a busy machine lets it."""
    call = feed.child.call if feed.child is not None else None
    supervisor.CALL_SECONDS = 3.0 if call is not None and call[0] == "send" else float(PATIENCE)


def test_a_call_that_takes_too_long_is_ended_and_the_log_says_where(finished: Tracked) -> None:
    feed = fed(finished, HEAD + "    def send(self, changes):\n        while True: time.sleep(1000)\n")
    assert feed.trouble is not None
    assert feed.trouble.message == "it did not answer to 'send' within 3 seconds"
    assert 'nasty_tracker.py", line 5 in send' in (finished.run / "track/nasty/log.txt").read_text()


def test_a_tracker_that_takes_too_much_memory_is_ended(finished: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MOST_MEMORY", 1 << 28)
    source = HEAD + "    def send(self, changes):\n        x = b'x' * (3 << 27)\n        time.sleep(1000)\n"
    feed = fed(finished, source)
    assert feed.trouble is not None
    assert feed.trouble.message.startswith("it took more than")


def test_what_a_tracker_has_started_ends_with_it(finished: Tracked) -> None:
    source = HEAD + (
        "    def send(self, changes):\n"
        "        import subprocess\n"
        "        print('child', subprocess.Popen(['sleep', '1000']).pid, flush=True)\n"
    )
    fed(finished, source)
    log = (finished.run / "track/nasty/log.txt").read_text()
    child = int(log.partition("child ")[2].split()[0])
    wait_until(lambda: not process_is_running(child, None))


def test_a_batch_is_smaller_after_a_call_that_took_too_long(finished: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MOST_CHANGES", 8)
    monkeypatch.setattr(supervisor, "FEWEST_CHANGES", 2)
    source = HEAD + (
        "    def send(self, changes):\n        if len(changes) > 4: time.sleep(1000)\n        super().send(changes)\n"
    )
    finished.install("nasty", source, "Nasty")
    feed = Feed(SupervisedRun(RunDirectory.at(finished.run)), "nasty", {"file": "heard.txt"}, 1)
    feed.finish()
    supervise([feed], None, lambda: hurry(feed))
    assert feed.trouble is None
    assert len(finished.told("IterationFinished")) == 6


def test_a_tracker_that_has_forgotten_the_run_gets_all_of_it(finished: Tracked) -> None:
    source = HEAD + (
        "    def open(self, run, memory):\n"
        "        from rose_cli.track.interface import StartOverError\n"
        "        if memory: raise StartOverError\n"
        "        return super().open(run, memory)\n"
    )
    fed(finished, source)
    fed(finished, source)
    assert [each["memory"] for each in finished.told("open")] == [{"opened": 1}, {"opened": 1}]
    assert len(finished.told("IterationFinished")) == 12


def test_two_processes_never_send_to_the_same_tracker(tracked: Tracked) -> None:
    tracked.install("nasty", NASTY["hangs"], "Nasty")
    tracked.campaign("{nasty: {file: heard.txt}}")
    assert tracked("run", "campaign.yaml", "-o", "quiet", **IMPATIENT).code == 0
    wait_until(lambda: is_sending(RunDirectory.at(tracked.run), "nasty"))
    called = tracked("track", "latest")
    assert (called.code, "another process sends this run to the tracker already" in called.err) == (4, True)
    end_supervisor(RunDirectory.at(tracked.run))


def test_python_of_the_campaign_is_not_run_because_of_what_pythonpath_means_there(
    tracked: Tracked, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An empty or relative entry means a directory of where rose was called."""
    tracked.campaign()
    assert tracked("run", "campaign.yaml", "-o", "quiet").code == 0
    planted = f"open({str(tracked.rose.folder / 'planted')!r}, 'w')\n"
    for folder in (tracked.rose.folder, tracked.rose.folder / "lib"):
        folder.mkdir(exist_ok=True)
        for name in ("sitecustomize.py", "select.py", "rose_cli.py"):
            (folder / name).write_text(planted, encoding="utf-8")
    elsewhere = Rose(tmp_path_factory.mktemp("elsewhere"))
    path = f"{tracked.variables['PYTHONPATH']}::lib"
    called = elsewhere("track", tracked.run, "small", PYTHONPATH=path)
    assert called.code == 0, called.err
    assert not (tracked.rose.folder / "planted").exists()


def test_no_entry_of_pythonpath_is_lost_where_python_is_safe(tracked: Tracked) -> None:
    tracked.campaign()
    path = f"{tracked.packages}:{REPOSITORY}"
    called = tracked("run", "campaign.yaml", "-o", "quiet", PYTHONPATH=path, PYTHONSAFEPATH="1")
    assert called.code == 0, called.err
    assert tracked.told("close"), called.err


def test_nothing_that_trackers_do_at_the_end_fails_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a position that nobody foresaw")

    monkeypatch.setattr(Tracking, "finish", broken)
    ended: Any = SimpleNamespace(reason="finished")
    setup: Any = SimpleNamespace(tracking=Tracking(RunDirectory.at(tmp_path), ["small"]), environment={})
    run_session._finish_tracking(setup, ended)
