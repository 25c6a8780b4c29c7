"""The contract of `rose_cli.engine.base`, for every kind of engine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from rose_cli.engine.base import Capacity, ExitReason, Resources
from rose_cli.engine.pilot.engine import PilotEngine
from rose_cli.engine.slurm.engine import SlurmEngine
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import process_start_ticks
from tests.engine.conftest import CAPACITY, GRACE_SECONDS, nothing, run, until_gone
from tests.processes import gone
from tests.work import time_for_programs

if TYPE_CHECKING:
    from rose_cli.engine.base import Engine, TaskOutcome, TaskRequest
    from tests.engine.conftest import Folder, OpenEngine

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = time_for_programs(1.5)
AWKWARD = ("a b", "", "it's", '"', "$HOME", "`id`", "*", "\\", "line\nbreak", "-n", "ü", "; exit 9", "{x}", ":", ".")


async def shown(engine: Engine, request: TaskRequest) -> Any:
    """What the program `shows` was given."""
    outcome = await run(engine, request)
    assert outcome.succeeded, (outcome, request.stderr.read_text())
    return json.loads(request.stdout.read_text())


def tells_no_process(engine: Engine) -> None:
    """Skip where tasks are not processes of this host: `on_spawn` is not called then."""
    if engine.capacity.nodes:
        pytest.skip("the processes of steps are those of their nodes")


def may_lose_orphans(manner: tuple[str, ...]) -> None:
    """Skip where nothing is left by which an orphan could be found on its node."""
    if manner == ("deaf", "bare") and "linuxproc" in os.environ["PYTEST_CURRENT_TEST"]:
        pytest.skip("proctrack/linuxproc loses a process without a parent, and this one has no tag")


# ---- how tasks end


@pytest.mark.parametrize("code", [0, 1, 3, 255])
async def test_an_exit_code_comes_back(engine: Engine, folder: Folder, code: int) -> None:
    outcome = await run(engine, folder.request("sh", "-c", f"exit {code}"))
    assert (outcome.reason, outcome.exit_code, outcome.signal) == (ExitReason.EXITED, code, None)
    assert outcome.succeeded == (code == 0)
    assert outcome.seconds > 0


async def test_a_signal_comes_back(engine: Engine, folder: Folder) -> None:
    request = folder.program("dies_half_way")
    outcome = await run(engine, request)
    assert (outcome.reason, outcome.signal, outcome.exit_code) == (ExitReason.SIGNALLED, signal.SIGUSR1, None)
    assert request.stdout.read_text() == "half\n"


async def test_a_program_that_is_not_there_is_an_outcome(engine: Engine, folder: Folder) -> None:
    outcome = await run(engine, folder.request("no-such-program", "x"))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert "'no-such-program'" in (outcome.message or "")


async def test_a_file_that_is_no_program_is_an_outcome(engine: Engine, folder: Folder) -> None:
    plain = folder.script("#!/bin/sh\n", "plain.sh")
    plain.chmod(0o644)
    outcome = await run(engine, folder.request(str(plain)))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert "plain.sh' is not executable" in (outcome.message or "")


async def test_a_folder_is_no_program(engine: Engine, folder: Folder) -> None:
    outcome = await run(engine, folder.request(str(folder.path)))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert "is a directory" in (outcome.message or "")


async def test_a_working_folder_that_is_not_there_is_an_outcome(engine: Engine, folder: Folder) -> None:
    outcome = await run(engine, folder.request("true", directory=folder.path / "nowhere"))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert "nowhere' does not exist" in (outcome.message or "")


async def test_an_argument_that_is_too_long_is_an_outcome(engine: Engine, folder: Folder) -> None:
    if not isinstance(engine, PilotEngine):  # whose shell fails only on the node
        outcome = await run(engine, folder.request("echo", "x" * 200_000))
        assert outcome.reason is ExitReason.NOT_STARTED
        assert "too long for this system" in (outcome.message or "")


async def test_for_how_long_an_end_was_known_is_never_overstated(engine: Engine, folder: Folder) -> None:
    outcome = await run(engine, folder.request("true"))
    assert 0.0 <= outcome.known_seconds <= outcome.seconds
    if isinstance(engine, SlurmEngine):  # whose step ends some time after its program
        assert outcome.known_seconds > 0.0


# ---- what a task is given


async def test_arguments_arrive_as_they_are(engine: Engine, folder: Folder) -> None:
    assert (await shown(engine, folder.program("shows", *AWKWARD)))["argv"] == list(AWKWARD)


async def test_arguments_arrive_as_they_are_behind_shell_lines(engine: Engine, folder: Folder) -> None:
    request = folder.program("shows", *AWKWARD, pre_exec=("true # a comment", "x='1'"))
    assert (await shown(engine, request))["argv"] == list(AWKWARD)


async def test_variables_arrive_as_they_are(engine: Engine, folder: Folder) -> None:
    variables = {f"AWKWARD_{index}": value for index, value in enumerate(AWKWARD)}
    given = (await shown(engine, folder.program("shows", environment=variables)))["env"]
    assert {name: given.get(name) for name in variables} == variables


async def test_variables_of_the_request_lie_over_those_of_the_engine(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine(BELOW="engine", ABOVE="engine") as engine:
        given = (await shown(engine, folder.program("shows", environment={"ABOVE": "request"})))["env"]
    assert (given["BELOW"], given["ABOVE"]) == ("engine", "request")


async def test_the_working_folder_is_the_requests(engine: Engine, folder: Folder) -> None:
    assert (await shown(engine, folder.program("shows")))["cwd"] == str(folder.path)


async def test_standard_input_is_empty(engine: Engine, folder: Folder) -> None:
    assert (await shown(engine, folder.program("shows")))["stdin"] == ""


async def test_the_program_is_looked_up_on_the_path_of_the_task(engine: Engine, folder: Folder) -> None:
    script = folder.script("#!/bin/sh\necho found\n", "bin/only-here")
    request = folder.request("only-here", environment={"PATH": f"{script.parent}:/usr/bin:/bin"})
    assert (await run(engine, request)).succeeded
    assert request.stdout.read_text() == "found\n"


# ---- output


async def test_output_goes_into_the_two_files(engine: Engine, folder: Folder) -> None:
    request = folder.request("sh", "-c", "echo out; echo err >&2")
    await run(engine, request)
    assert (request.stdout.read_text(), request.stderr.read_text()) == ("out\n", "err\n")


async def test_folders_for_output_are_made_and_old_output_goes(engine: Engine, folder: Folder) -> None:
    logs = folder.path / "new" / "logs"
    for text in ("a longer text", "short"):
        request = folder.request("echo", text, stdout=logs / "out", stderr=logs / "err")
        assert (await run(engine, request)).succeeded
    assert (logs / "out").read_text() == "short\n"


async def test_much_output_is_kept_whole(engine: Engine, folder: Folder) -> None:
    request = folder.program("prints_much")
    assert (await run(engine, request)).succeeded
    assert (request.stdout.stat().st_size, request.stderr.stat().st_size) == (50_000_000, 1_000_000)


async def test_binary_output_is_kept_as_it_is(engine: Engine, folder: Folder) -> None:
    request = folder.program("prints_binary")
    assert (await run(engine, request)).succeeded
    assert request.stdout.read_bytes() == bytes(range(256))


async def test_closing_its_outputs_does_not_end_a_task(engine: Engine, folder: Folder) -> None:
    request = folder.program("closes_stdout")
    assert (await run(engine, request)).succeeded
    assert (folder.path / "after").exists()
    assert request.stdout.read_text() == "before\n"


# ---- shell lines


async def test_shell_lines_prepare_for_the_program(engine: Engine, folder: Folder) -> None:
    lines = ('export GREETING="$1 hello"', "cd /", "helper() { export CALLED=yes; }", "helper")
    given = await shown(engine, folder.program("shows", "word", pre_exec=lines))
    assert (given["env"]["CALLED"], given["cwd"], given["argv"]) == ("yes", "/", ["word"])


async def test_a_shell_line_that_fails_keeps_the_program_from_starting(engine: Engine, folder: Folder) -> None:
    request = folder.request("echo", "ran", pre_exec=("true", "sh -c 'exit 4'", "echo went on"))
    outcome = await run(engine, request)
    assert (outcome.reason, outcome.exit_code) == (ExitReason.NOT_STARTED, 4)
    assert "pre_exec line 2, 'sh -c 'exit 4'', ended with exit code 4" in (outcome.message or "")
    assert request.stdout.read_text() == ""
    assert "pre_exec ended at line 2" in request.stderr.read_text()


@pytest.mark.parametrize("line", ["exit 0", "exec true", ". ./leaves.sh", "trap : EXIT; exit 0", "exec sh -c 'exit 0'"])
async def test_a_program_that_was_not_reached_is_no_success(engine: Engine, folder: Folder, line: str) -> None:
    folder.script("exit 0\n", "leaves.sh")
    request = folder.request("touch", "ran", pre_exec=("true", line))
    outcome = await run(engine, request)
    assert (outcome.reason, outcome.exit_code, outcome.succeeded) == (ExitReason.NOT_STARTED, 0, False)
    assert f"pre_exec line 2, '{line}', ended the shell with exit code 0" in (outcome.message or "")
    assert not (folder.path / "ran").exists()
    assert list(folder.path.glob("*.pre_exec")) == []


def command_lines() -> list[bytes]:
    """Of all processes, as everybody can read them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes())
    return found


async def test_shell_lines_stand_on_no_command_line(engine: Engine, folder: Folder) -> None:
    """Whoever is on the machine can read those; the file that has the lines is for its owner, and goes."""
    gate, secret = folder.gate(), f"s3cr3t-{os.getpid()}"
    request = folder.request("true", pre_exec=(f"export A_TOKEN={secret}", f"cat {shlex.quote(str(gate.path))}"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, request)
        held = await gate.reached()
        commands = command_lines()
        files = [path for path in folder.path.rglob("*") if path.is_file() and secret in path.read_text()]
        modes = {path.stat().st_mode & 0o777 for path in files}
        os.close(held)
    assert any(str(gate.path).encode() in command for command in commands)
    assert not any(secret.encode() in command for command in commands)
    assert modes <= {0o600}
    assert list(folder.path.rglob("*.lines")) == []


async def test_shell_lines_are_judged_by_their_own_exit_codes(engine: Engine, folder: Folder) -> None:
    folder.script("false\ngrep -q nothing /dev/null\nexport SEEN=yes\n", "setvars.sh")
    lines = ("false; true", ". ./setvars.sh", "inner() { false; export CALLED=yes; }", "inner")
    given = (await shown(engine, folder.program("shows", pre_exec=lines)))["env"]
    assert (given["SEEN"], given["CALLED"]) == ("yes", "yes")


async def test_behind_shell_lines_a_missing_program_is_an_outcome(engine: Engine, folder: Folder) -> None:
    request = folder.request("no-such-program", pre_exec=("PATH=/bin:/nowhere",))
    outcome = await run(engine, request)
    assert (outcome.reason, outcome.exit_code) == (ExitReason.NOT_STARTED, 127)
    assert "no program 'no-such-program' on the task's PATH ('/bin:/nowhere')" in (outcome.message or "")
    assert "no-such-program" in request.stderr.read_text()


async def test_shell_lines_may_change_the_path(engine: Engine, folder: Folder) -> None:
    script = folder.script("#!/bin/sh\necho found\n", "bin/only-here")
    request = folder.request("only-here", pre_exec=(f'PATH="{script.parent}:$PATH"'.replace("$name", r"\$name"),))
    assert (await run(engine, request)).succeeded


# ---- the end of whole trees


async def test_a_timeout_asks_first(engine: Engine, folder: Folder) -> None:
    outcome = await run(engine, folder.program("obeys_term", timeout_seconds=TIMEOUT_SECONDS))
    assert outcome.reason is ExitReason.TIMED_OUT
    assert not outcome.succeeded
    assert outcome.seconds >= TIMEOUT_SECONDS
    assert (folder.path / "ended-well").exists()
    assert gone(await folder.said("pid"))


async def test_a_timeout_ends_what_does_not_obey_and_asks_it_once(engine: Engine, folder: Folder) -> None:
    outcome = await run(engine, folder.program("ignores_term", timeout_seconds=TIMEOUT_SECONDS))
    assert outcome.reason is ExitReason.TIMED_OUT
    assert outcome.seconds >= TIMEOUT_SECONDS + GRACE_SECONDS
    assert await folder.said("terms") == "1"
    assert gone(await folder.said("pid"))


async def test_what_has_ended_while_rose_was_suspended_is_not_ended_by_its_timeout(
    engine: Engine, folder: Folder
) -> None:
    tells_no_process(engine)

    def sleep_until_it_is_over(pid: int, start_ticks: int) -> None:
        while not gone(pid):
            time.sleep(0.001)

    outcome = await engine.run(folder.request("true", timeout_seconds=0.0), nothing, sleep_until_it_is_over)
    assert outcome.succeeded


@pytest.mark.parametrize("manner", [(), ("deaf",), ("bare",), ("deaf", "bare")])
async def test_a_timeout_reaches_what_left_the_session(engine: Engine, folder: Folder, manner: tuple[str, ...]) -> None:
    may_lose_orphans(manner)
    outcome = await run(engine, folder.program("leaves_session", *manner, timeout_seconds=TIMEOUT_SECONDS))
    assert outcome.reason is ExitReason.TIMED_OUT
    assert gone(await folder.said("grandchild"))


@pytest.mark.parametrize("manner", [(), ("deaf",), ("bare",), ("deaf", "bare")])
async def test_a_cancel_ends_the_whole_tree(engine: Engine, folder: Folder, manner: tuple[str, ...]) -> None:
    may_lose_orphans(manner)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.program("leaves_session", *manner))
        pids = await folder.said("pid"), await folder.said("grandchild")
        tasks.cancel_scope.cancel()
    assert all(gone(pid) for pid in pids)
    assert engine.busy_cores == 0


async def test_a_cancel_comes_through(engine: Engine, folder: Folder) -> None:
    came_through = []

    async def cancelled() -> None:
        try:
            await run(engine, folder.program("ignores_term"))
        except anyio.get_cancelled_exc_class():
            came_through.append(gone(await_pid))
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancelled)
        await_pid = await folder.said("pid")
        tasks.cancel_scope.cancel()
    assert came_through == [True]


@pytest.mark.parametrize(("program", "name"), [("keeps_stdout", "background"), ("leaves_session", "grandchild")])
async def test_nothing_outlives_a_task_that_succeeds(engine: Engine, folder: Folder, program: str, name: str) -> None:
    outcome = await run(engine, folder.program(program, "leave"))
    assert outcome.succeeded
    assert outcome.seconds < 30
    assert gone(await folder.said(name))


async def test_helpers_may_end_by_themselves(engine: Engine, folder: Folder) -> None:
    """As `tee` does, whose last lines come after the end of the program that it listens to."""
    outcome = await run(engine, folder.request("sh", "-c", "(sleep 0.05; echo late >late) & exit 0"))
    assert outcome.succeeded
    assert (folder.path / "late").read_text() == "late\n"


# ---- slots


async def test_no_more_run_than_there_are_cores(engine: Engine, folder: Folder) -> None:
    gauge = folder.path / "gauge.json"
    gauge.write_text("[0, 0]")
    outcomes: list[TaskOutcome] = []

    async def one() -> None:
        outcomes.append(await run(engine, folder.program("gauge", str(gauge), "2")))

    async with anyio.create_task_group() as tasks:
        for _ in range(64):
            tasks.start_soon(one)
    assert [outcome.succeeded for outcome in outcomes] == [True] * 64
    assert json.loads(gauge.read_text()) == [0, 2]


class Starts:
    """Runs tasks, and knows in which order they got their slots."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.order: list[str] = []

    async def run(self, name: str, request: TaskRequest) -> None:
        async def on_start() -> None:
            self.order.append(name)

        outcome = await self.engine.run(request, on_start)
        assert outcome.succeeded, outcome


async def test_first_come_first_served(engine: Engine, folder: Folder) -> None:
    starts = Starts(engine)
    names = [str(number) for number in range(20)]
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(starts.run, name, folder.request("true"))
    assert starts.order == names


async def test_a_big_task_is_not_overtaken(engine: Engine, folder: Folder) -> None:
    starts, gate = Starts(engine), folder.gate()
    both = Resources(cores=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(starts.run, "first", folder.waiting(gate))
        held = await gate.reached()
        tasks.start_soon(starts.run, "big", folder.request("true", resources=both))
        for name in ("small", "smaller"):
            tasks.start_soon(starts.run, name, folder.request("true"))
        await anyio.wait_all_tasks_blocked()
        assert starts.order == ["first"], "one core is free, but the big one is first in the queue"
        os.close(held)
    assert starts.order == ["first", "big", "small", "smaller"]


async def test_who_is_cancelled_in_the_queue_lets_the_others_go(engine: Engine, folder: Folder) -> None:
    starts, gate = Starts(engine), folder.gate()
    cancelled = anyio.CancelScope()

    async def big() -> None:
        with cancelled:
            await starts.run("big", folder.request("true", resources=Resources(cores=2)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(starts.run, "first", folder.waiting(gate))
        held = await gate.reached()
        tasks.start_soon(big)
        tasks.start_soon(starts.run, "small", folder.request("touch", "small"))
        await anyio.wait_all_tasks_blocked()
        cancelled.cancel()
        await folder.said("small")
        os.close(held)
    assert starts.order == ["first", "small"]


async def test_memory_counts(engine: Engine, folder: Folder) -> None:
    starts, gate = Starts(engine), folder.gate()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(starts.run, "much", folder.waiting(gate, resources=Resources(memory_mb=700)))
        held = await gate.reached()
        tasks.start_soon(starts.run, "too much", folder.request("true", resources=Resources(memory_mb=301)))
        await anyio.wait_all_tasks_blocked()
        assert starts.order == ["much"]
        os.close(held)
    assert starts.order == ["much", "too much"]


async def test_gpus_belong_to_one_task_at_a_time(engine: Engine, folder: Folder) -> None:
    """Each marks its GPUs as taken with folders, whose making fails where they are there."""
    taking = 'for id in $(echo $CUDA_VISIBLE_DEVICES | tr , " "); do mkdir gpu$id; done; echo $CUDA_VISIBLE_DEVICES'
    giving = "for folder in gpu*; do :; done; for id in $(echo $CUDA_VISIBLE_DEVICES | tr , ' '); do rmdir gpu$id; done"
    requests = [
        folder.request("sh", "-e", "-c", f"{taking}; {giving}", resources=Resources(cores=1, gpus=count))
        for count in (1, 1, 2, 1, 0, 2, 1, 1, 2, 1)
    ]
    outcomes: list[TaskOutcome] = []

    async def one(request: TaskRequest) -> None:
        outcomes.append(await run(engine, request))

    async with anyio.create_task_group() as tasks:
        for request in requests:
            tasks.start_soon(one, request)
    seen = [[gpu for gpu in request.stdout.read_text().strip().split(",") if gpu] for request in requests]
    assert [outcome.succeeded for outcome in outcomes] == [True] * len(requests)
    assert [len(gpus) for gpus in seen] == [request.resources.gpus for request in requests]
    of_slurm = {"0", "1"}  # which picks them itself
    assert {gpu for gpus in seen for gpu in gpus} == (of_slurm if engine.capacity.nodes else set(CAPACITY.gpus))


async def test_without_gpus_of_its_own_the_engine_leaves_the_variable_alone(
    open_engine: OpenEngine, folder: Folder
) -> None:
    async with open_engine(Capacity(1), CUDA_VISIBLE_DEVICES="9") as engine:
        assert (await shown(engine, folder.program("shows")))["env"]["CUDA_VISIBLE_DEVICES"] == "9"


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(cores=3), "3 cores, but the engine has 2"),
        (Resources(gpus=3), "3 GPUs, but the engine has 2"),
        (Resources(memory_mb=1001), "1001 MB of memory, but the engine has 1000"),
    ],
)
async def test_more_than_there_is_cannot_be_waited_for(
    engine: Engine, folder: Folder, resources: Resources, words: str
) -> None:
    with pytest.raises(EngineError, match=words):
        await engine.run(folder.request("true", resources=resources), nothing)


async def test_busy_cores_are_those_that_tasks_hold(engine: Engine, folder: Folder) -> None:
    gate = folder.gate()
    assert engine.busy_cores == 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.waiting(gate, resources=Resources(cores=2)))
        held = await gate.reached()
        assert engine.busy_cores == 2
        os.close(held)
    assert engine.busy_cores == 0


# ---- what the caller is told


async def test_the_start_is_told_before_the_program_runs(engine: Engine, folder: Folder) -> None:
    seen: list[object] = []

    async def on_start() -> None:
        await anyio.sleep(0.05)
        seen.append((folder.path / "ran").exists())

    await engine.run(folder.request("touch", "ran"), on_start)
    assert seen == [False]
    assert (folder.path / "ran").exists()


async def test_where_the_start_cannot_be_told_nothing_starts(engine: Engine, folder: Folder) -> None:
    async def on_start() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        await engine.run(folder.request("touch", "ran"), on_start)
    assert not (folder.path / "ran").exists()
    assert engine.busy_cores == 0
    assert (await run(engine, folder.request("true", resources=Resources(cores=2)))).succeeded


async def test_the_start_is_told_also_of_what_then_cannot_start(engine: Engine, folder: Folder) -> None:
    told = []

    async def on_start() -> None:
        told.append("start")

    outcome = await engine.run(folder.request("no-such-program"), on_start, lambda *_: told.append("spawn"))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert told == ["start"]


async def test_the_process_is_told_as_soon_as_it_is_there(engine: Engine, folder: Folder) -> None:
    told: list[tuple[int, int, int | None]] = []
    request = folder.program("shows")
    await engine.run(request, nothing, lambda pid, ticks: told.append((pid, ticks, process_start_ticks(pid))))
    for pid, ticks, seen in told:
        assert ticks == seen
        assert gone(pid)
    assert len(told) <= 1


async def test_where_the_process_cannot_be_told_it_ends(engine: Engine, folder: Folder) -> None:
    tells_no_process(engine)
    pids = []

    def on_spawn(pid: int, _: int) -> None:
        pids.append(pid)
        raise OSError("no space left")

    async def attempt() -> None:
        await engine.run(folder.request("true"), nothing, on_spawn)

    with pytest.raises(OSError, match="no space left"):
        await attempt()
    assert all(gone(pid) for pid in pids)
    assert engine.busy_cores == 0


# ---- the end of the engine


async def test_a_kill_ends_everything_without_grace(open_engine: OpenEngine, folder: Folder) -> None:
    outcomes: list[TaskOutcome] = []
    refused: list[str] = []
    async with open_engine(grace_seconds=1000) as engine:

        async def running() -> None:
            outcomes.append(await run(engine, folder.program("leaves_session", "deaf", resources=Resources(cores=2))))

        async def queued() -> None:
            try:
                await run(engine, folder.request("touch", "ran"))
            except EngineError as error:
                refused.append(error.message)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running)
            await folder.said("pid")
            tasks.start_soon(queued)
            await anyio.wait_all_tasks_blocked()
            engine.kill()
        with pytest.raises(EngineError):
            await run(engine, folder.request("touch", "ran"))
    assert [outcome.reason for outcome in outcomes] == [ExitReason.LOST]
    assert len(refused) == 1
    assert not (folder.path / "ran").exists()


async def test_a_kill_cuts_a_grace_short(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine(grace_seconds=1000) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.program("ignores_term"))
        pid = await folder.said("pid")
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await folder.said("terms")
            engine.kill()
    assert gone(pid)


@pytest.mark.parametrize("manner", [("deaf",), ("deaf", "bare")])
async def test_a_kill_reaches_whom_the_grace_is_for(
    open_engine: OpenEngine, folder: Folder, manner: tuple[str, ...]
) -> None:
    may_lose_orphans(manner)
    async with open_engine(grace_seconds=1000) as patient, anyio.create_task_group() as tasks:
        tasks.start_soon(run, patient, folder.program("leaves_session", *manner))
        pid, grandchild = await folder.said("pid"), await folder.said("grandchild")
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await until_gone(pid)
            assert not gone(grandchild)
            patient.kill()
    assert gone(grandchild)


async def test_leaving_the_engine_ends_what_still_runs(open_engine: OpenEngine, folder: Folder) -> None:
    outcomes: list[TaskOutcome] = []

    async def one() -> None:
        outcomes.append(await run(engine, folder.program("leaves_session", "deaf")))

    async with anyio.create_task_group() as tasks, open_engine() as engine:
        tasks.start_soon(one)
        await folder.said("pid")
    assert [outcome.reason for outcome in outcomes] == [ExitReason.LOST]


async def test_an_engine_that_does_not_run_says_so(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        pass
    with pytest.raises(EngineError, match="not running"):
        await run(engine, folder.request(sys.executable, "-V"))
