"""Whose run it is: what somebody else made, or may change, is read and named, and neither resumed nor stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, decode, encode
from rose_cli.runs.directory import RunDirectory
from rose_cli.util.files import directory_identity
from rose_cli.util.processes import process_is_running, process_start_ticks
from tests.conftest import PATIENCE, wait_until
from tests.two_users import ALICE, MALLORY, MOST, NAMED_GROUP, NOBODY, OTHERS, OWN, OWN_GROUP, TEAM, Person

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = "{max_iter: 2, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}"
FAILS_UNTIL_OK = '#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n'
NOT_YOURS = f"belongs to uid {MALLORY}"


def one_line(text: str) -> str:
    return " ".join(text.split())


def campaign(rose: Rose) -> None:
    """One whose only task fails until there is a file `ok`: every run of it can be resumed."""
    rose.script(FAILS_UNTIL_OK, "sim.sh")
    rose.write(CAMPAIGN)


def failed_run(rose: Rose, *words: str) -> Path:
    """The directory of a new run that can be resumed, and then succeeds."""
    before = set(rose.folder.glob("rose-runs/campaign*"))
    called = rose("run", "campaign.yaml", *words)
    assert called.code == 1, called.err
    made = set(rose.folder.glob("rose-runs/campaign*")) - before
    return Path(words[-1]) if words else made.pop()


@pytest.fixture
def project(alice: Person, mallory: Person) -> Person:
    """Alice in a folder in which both make files, as in /tmp, with a campaign of hers."""
    alice = alice.at("project")
    alice.folder.chmod(0o1777)
    campaign(alice)
    return alice


def plant(mallory: Person, alice: Person, place: str = "rose-runs/ours-20990101-2") -> Path:
    """A run of mallory's, which everybody may change, newer than any; it leaves a trace when it runs."""
    planted = mallory.at(alice.folder)
    planted.write(CAMPAIGN.replace("./sim.sh", "./theirs.sh"), "theirs.yaml")
    planted.script('#!/bin/sh\nid -u >> "$ROSE_CAMPAIGN_DIR/trace"\nexit 1\n', "theirs.sh")
    assert planted("run", "theirs.yaml", "--run-dir", "made").code == 1
    planted.sh(f"rm trace; mv made {place}; chmod -R a+rwX {place}; touch -d 2099-01-01 {place}/plan.json")
    return alice.folder / place


def said_besides_the_run(err: str) -> str:
    """Without the line that says which run a resume without RUN takes."""
    line, _, rest = err.partition("\n")
    return rest if re.fullmatch(r"run 'rose-runs/[\w-]+', the latest that can be resumed", line) else err


def trace(alice: Person) -> str | None:
    path = alice.folder / "trace"
    return path.read_text() if path.exists() else None


def test_resume_passes_over_a_run_that_somebody_else_put_there(project: Person, mallory: Person) -> None:
    own = failed_run(project)
    project.sh("chmod 1777 rose-runs")
    plant(mallory, project)
    project.sh("touch ok")
    for words in (("resume", "--dry-run"), ("resume",)):
        called = project(*words)
        assert called.code == 0, called.err
        assert f"skipped 'rose-runs/ours-20990101-2': it {NOT_YOURS}" in called.err
    assert trace(project) is None
    assert project.status(own)["status"] == "done"


def test_where_there_is_only_that_run_nothing_is_resumed(project: Person, mallory: Person) -> None:
    project.sh("mkdir -m 1777 rose-runs")
    planted = plant(mallory, project)
    # the plan of a run says which file it is of, and may lie
    text = (planted / "plan.json").read_text().replace("theirs.yaml", "campaign.yaml")
    mallory.sh(f"cat > {planted}/plan.json && touch -d 2099-01-01 {planted}/plan.json", text)
    for lookup in ((), ("campaign.yaml",), ("rose-runs",), ("--max-iter", "9")):
        called = project("resume", *lookup)
        assert (called.code, trace(project)) == (4, None)
        assert f"'rose-runs/ours-20990101-2' {NOT_YOURS}" in called.err
        assert "`rose resume rose-runs/ours-20990101-2 --trust` runs its commands as you" in one_line(called.err)


def test_named_it_is_refused_until_it_is_trusted(project: Person, mallory: Person) -> None:
    project.sh("mkdir -m 1777 rose-runs")
    plant(mallory, project)
    for command in ("resume", "stop"):
        for name in ("rose-runs/ours-20990101-2", "ours-20990101-2"):
            called = project(command, name)
            assert (called.code, trace(project)) == (4, None)
            assert f"'rose-runs/ours-20990101-2' {NOT_YOURS}" in called.err
            assert f"rose {command} rose-runs/ours-20990101-2 --trust" in one_line(called.err)
    refused = project("exec", "ours-20990101-2", "0", "a")
    assert (refused.code, trace(project)) == (4, None)
    assert "rose exec rose-runs/ours-20990101-2 --trust` runs its commands as you" in one_line(refused.err)
    shown = project("resume", "ours-20990101-2", "--dry-run")
    assert (shown.code, trace(project)) == (0, None)
    assert f"{NOT_YOURS}: to resume it, add `--trust`" in shown.out
    assert project("resume", "ours-20990101-2", "--trust").code == 1
    assert trace(project) == f"{ALICE}\n", "whoever trusts a run has it run in their name"


def test_stop_goes_to_ones_own_run(project: Person, mallory: Person) -> None:
    project.script("#!/bin/sh\nsleep 1000\n", "sim.sh")
    process = project.start("run", "campaign.yaml", "--output", "quiet")
    try:
        while not list(project.folder.glob("rose-runs/*/learners/a/logs/0/sim.1.out")):
            assert process.poll() is None
        project.sh("chmod 1777 rose-runs")
        planted = plant(mallory, project)
        text = (planted / "plan.json").read_text().replace("theirs.yaml", "campaign.yaml")
        mallory.sh(f"cat > {planted}/plan.json && touch -d 2099-01-01 {planted}/plan.json", text)
        called = project("stop", "campaign.yaml")
        assert called.code == 0, called.err
        assert "skipped 'rose-runs/ours-20990101-2'" in called.err
        assert process.wait(60) == 143
    finally:
        process.kill()
        process.communicate()


def test_commands_that_read_take_ones_own_first_and_mark_what_is_not(project: Person, mallory: Person) -> None:
    own = failed_run(project)
    project.sh("chmod 1777 rose-runs")
    planted = plant(mallory, project)
    assert project.json("status", "--format", "json")["run"] == str(own)
    for words in (("status",), ("logs",), ("export",)):
        called = project(*words, planted)
        assert called.code == 0
        assert f"this run is not yours: 'rose-runs/{planted.name}' {NOT_YOURS}" in called.err
        assert "skipped" in project(*words, "." if words == ("logs",) else "campaign.yaml").err
    assert "rose resume" not in project("status", planted).out
    theirs, ours = project.status(planted), project.status(own)
    assert (theirs["owner"], theirs["untrusted"]) == (str(MALLORY), f"'rose-runs/{planted.name}' {NOT_YOURS}")
    assert (ours["owner"], ours["untrusted"]) == (str(ALICE), None)
    listed = {run["name"]: run for run in project.json("list", "--format", "json")}
    assert [listed[run.name]["owner"] for run in (own, planted)] == [str(ALICE), str(MALLORY)]
    assert [bool(listed[run.name]["untrusted"]) for run in (own, planted)] == [False, True]
    lines = project("list").out.splitlines()
    assert (lines[0].split()[-1], lines[1].split()[-1]) == ("owner", str(MALLORY))


def test_the_private_run_of_a_colleague_is_named(project: Person, mallory: Person) -> None:
    """It used to be skipped silently: nobody could tell why a run was not listed."""
    own = failed_run(project)
    project.sh("chmod 1777 rose-runs")
    mallory.sh(f"mkdir -m 700 '{own.parent}/hers'")
    (theirs,) = (run for run in project.json("list", "--format", "json") if run["name"] == "hers")
    assert (theirs["status"], theirs["owner"]) == ("unreadable", str(MALLORY))
    assert theirs["note"] == "cannot be read: permission denied"
    lines = project("list").out.splitlines()
    assert (lines[2].split()[:2], lines[2].split()[-1]) == (["?", "hers"], str(MALLORY))
    assert lines[3] == "    cannot be read: permission denied"


def test_a_colleague_reads_a_run_as_before(alice: Person, mallory: Person) -> None:
    theirs = mallory.at("theirs")
    campaign(theirs)
    run = failed_run(theirs)
    called = alice.at("theirs")("status")
    assert (called.code, "this run is not yours" in called.err, run.name in called.out) == (0, True, True)


# --- links ---------------------------------------------------------------------------------------------------------


def test_a_link_of_somebody_elses_is_not_followed_to_act(project: Person, mallory: Person) -> None:
    failed_run(project, "--run-dir", "mine")
    mallory.at(project.folder).sh("ln -s mine lnk; mkdir deep; ln -s .. deep/up; chmod 755 deep")
    project.sh("touch ok")
    for name, link in (("lnk", "lnk"), ("deep/up/mine", "deep/up")):
        called = project("resume", name)
        assert called.code == 4
        assert f"'{link}' is a symbolic link that belongs to another user: uid {MALLORY}" in one_line(called.err)
    assert project("resume", "mine").code == 0


def test_a_link_of_somebody_elses_on_the_way_is_told_with_where_it_leads(project: Person, mallory: Person) -> None:
    """That of who leads a project, most often."""
    mallory.at(project.folder).sh("ln -s . shortcut")
    called = project("run", "shortcut/campaign.yaml")
    assert called.code == 4
    assert "shortcut' is a symbolic link that belongs to another user" in one_line(called.err)
    assert f"name that instead: {project.folder.resolve()}" in one_line(called.err)


CONTAINER = "unshare --user --map-user=$(id -u) --map-group=$(id -g)"
"""As in a container that was started without root: what is not the user's own is shown as nobody's."""


def in_container(person: Person, *words: str) -> subprocess.CompletedProcess[str]:
    if person.attempt(f"{CONTAINER} true").returncode:
        pytest.skip("needs a user namespace of a user's own")
    return person.attempt(f"COLUMNS=200 {CONTAINER} {person.python} -m rose_cli {' '.join(words)}")


def test_in_a_container_that_knows_no_root_the_machines_own_files_are_no_news(project: Person) -> None:
    project.write("{max_iter: 1, learners: 1, tasks: {a: {executable: /bin/true}}}")
    place = project.folder.with_name("storage")
    place.mkdir()
    (place / "link").symlink_to(project.folder)
    for words in (("plan", "campaign.yaml"), ("run", f"{place}/link/campaign.yaml"), ("list", ".")):
        called = in_container(project, *words)
        assert (called.returncode, "nobody" in called.stderr, "not yours" in called.stdout) == (0, False, False), called


def test_in_such_a_container_others_are_others_all_the_same(project: Person, mallory: Person) -> None:
    planted = plant(mallory, project, "theirs")
    called = in_container(project, "resume", str(planted))
    assert (called.returncode, "belongs to" in called.stderr) == (4, True)
    mallory.at(project.folder).sh("ln -s . shortcut")
    called = in_container(project, "run", "shortcut/campaign.yaml")
    assert (called.returncode, "is a symbolic link that belongs to another user" in called.stderr) == (4, True)
    assert trace(project) is None


def test_the_copy_that_is_proposed_of_latest_is_no_link(project: Person, mallory: Person) -> None:
    failed_run(project)
    looking = mallory.at(project.folder)
    called = looking("resume", "rose-runs/latest")
    said = re.search(r"`cp -r (\S+) DIR`", one_line(called.err))
    assert said is not None, called.err
    looking.sh(
        f"cp -r {said[1]} {mallory.home}/copy; test -f {mallory.home}/copy/plan.json; ! test -L {mallory.home}/copy"
    )


def test_latest_is_not_followed_to_somebody_elses_run(project: Person, mallory: Person) -> None:
    own = failed_run(project)
    project.sh("chmod 1777 rose-runs; rm rose-runs/latest")
    planted = plant(mallory, project)
    mallory.at(project.folder).sh(f"ln -s {planted.name} rose-runs/latest")
    called = project("status", "rose-runs/latest", "--format", "json")
    assert json.loads(called.out)["run"] == str(own)
    assert "skipped" in called.err
    assert project("resume", "rose-runs/latest").code == 4
    assert trace(project) is None


# --- a place for a run ----------------------------------------------------------------------------------------------


def test_a_private_run_in_a_folder_that_the_administrator_made(project: Person) -> None:
    """It is as good as one's own, but nobody else can close it: a new folder in it can be closed."""
    scratch = project.folder / "scratch"
    scratch.mkdir(mode=0o770)
    os.chown(scratch, 0, ALICE)
    scratch.chmod(0o770)
    (project.folder / "campaign.yaml").chmod(0o600)
    called = project("run", "campaign.yaml", "--run-dir", scratch)
    assert (called.code, list(scratch.iterdir())) == (4, [])
    assert "cannot be made private, but this run has to be" in one_line(called.err)
    way = f"--run-dir {scratch}/run"
    assert way in one_line(called.err)
    project("run", "campaign.yaml", *way.split())
    assert stat.S_IMODE((scratch / "run").stat().st_mode) == 0o700


def test_a_place_that_belongs_to_somebody_else_takes_no_run(project: Person, mallory: Person) -> None:
    theirs = mallory.at(project.folder)
    for mode in ("755", "777", "1777"):
        theirs.sh(f"rm -rf rose-runs planted; mkdir -m {mode} rose-runs planted")
        for words, place in (((), "rose-runs"), (("--run-dir", "planted"), "planted")):
            called = project("run", "campaign.yaml", *words)
            assert called.code == 4
            assert f"/{place}' {NOT_YOURS}, who could replace your run" in one_line(called.err)
            assert "--run-dir" in called.err
            assert not any((project.folder / place).iterdir())


def test_a_place_that_everybody_can_change_takes_no_run(rose: Rose) -> None:
    campaign(rose)
    for name in ("rose-runs", "open", "planted"):
        (rose.folder / name).mkdir()
        (rose.folder / name).chmod(0o777)
    for words, place in (((), "rose-runs"), (("--run-dir", "open/r"), "open"), (("--run-dir", "planted"), "planted")):
        called = rose("run", "campaign.yaml", *words)
        assert called.code == 4
        assert f"{place}' can be changed by everybody on this machine" in one_line(called.err)
        assert f"chmod go-w {rose.folder}/{place}" in one_line(called.err)
    for name in ("rose-runs", "open"):
        (rose.folder / name).chmod(0o1777)
    failed_run(rose)
    failed_run(rose, "--run-dir", "open/r")
    (rose.folder / "ok").touch()
    (rose.folder / "open").chmod(0o777)
    called = rose("resume", "open/r")
    assert (called.code, "'open' can be changed by everybody" in called.err) == (4, True)
    assert "`chmod go-w open`, or `chmod +t open`" in one_line(called.err)
    assert rose("resume", "open/r", "--trust").code == 0


def test_a_run_that_a_group_can_change_is_not_resumed(alice: Person) -> None:
    campaign(alice)
    failed_run(alice, "--run-dir", "r")
    os.chown(alice.folder / "r/plan.json", ALICE, TEAM)
    os.chown(alice.folder / "r/learners/a/logs", ALICE, TEAM)
    alice.sh("touch ok")
    for place in ("plan.json", "learners/a/logs"):
        alice.sh(f"chmod g+w r/{place}")
        called = alice("resume", "r")
        assert called.code == 4
        assert f"'r/{place}' can be changed by the group {TEAM}" in one_line(called.err)
        assert "`chmod -R go-w r`" in called.err
        alice.sh("chmod -R go-w r")
    assert alice("resume", "r").code == 0


def test_a_group_of_ones_own_is_nobody_else(alice: Person) -> None:
    """The umask is 002 where every user has a group of their own."""
    alice = alice.with_umask(0o002)
    campaign(alice)
    failed_run(alice)
    alice.sh("chmod -R g+w rose-runs; touch ok")
    called = alice("resume")
    assert (called.code, said_besides_the_run(called.err)) == (0, "")


PEOPLE = f"root:x:0:0::/:/bin/sh\nalice:x:{ALICE}:{ALICE}::/:/bin/sh\nmallory:x:{MALLORY}:{MALLORY}::/:/bin/sh\n"
COLLEAGUE = f"bob:x:4003:{ALICE}::/:/bin/sh\n"
GROUPS = f"root:x:0:\nmallory:x:{MALLORY}:\nteam:x:{TEAM}:alice,mallory\n"
NAMED = 'mount --bind passwd /etc/passwd && mount --bind group /etc/group && exec setpriv "$@"'


@pytest.mark.parametrize(
    ("passwd", "group", "owner", "found"),
    [
        (PEOPLE, f"alice:x:{ALICE}:", (ALICE, ALICE), None),
        (PEOPLE, f"alice:x:{ALICE}:alice", (ALICE, ALICE), None),
        (PEOPLE, f"alice:x:{ALICE}:alice,mallory", (ALICE, ALICE), "can be changed by the group 'alice'"),
        (PEOPLE + COLLEAGUE, f"alice:x:{ALICE}:", (ALICE, ALICE), "can be changed by the group 'alice'"),
        (PEOPLE, f"users:x:{ALICE}:", (ALICE, ALICE), "can be changed by the group 'users'"),
        (PEOPLE, f"alice:x:{ALICE}:", (ALICE, TEAM), "can be changed by the group 'team'"),
        (PEOPLE, f"alice:x:{ALICE}:", (MALLORY, ALICE), f"belongs to mallory (uid {MALLORY})"),
    ],
)
def test_people_and_groups_with_names(
    alice: Person, passwd: str, group: str, owner: tuple[int, int], found: str | None
) -> None:
    campaign(alice)
    alice.write(passwd, "passwd")
    alice.write(f"{GROUPS}{group}\n", "group")
    (alice.folder / "r").mkdir()
    RunDirectory.at(alice.folder / "r").plan.touch()
    os.chown(alice.folder / "r", ALICE, ALICE)
    os.chown(alice.folder / "r/plan.json", *owner)
    (alice.folder / "r/plan.json").chmod(0o664)
    doubt = (
        "from pathlib import Path; from rose_cli.runs.directory import RunDirectory\n"
        "doubt = RunDirectory.at(Path('r')).doubt; print(doubt and doubt.what)"
    )
    words = (f"--reuid={ALICE}", f"--regid={ALICE}", f"--groups={TEAM}", alice.python, "-c", doubt)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", NAMED, "sh", *words],
        cwd=alice.folder,
        env=alice.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"nothing may be mounted: {done.stderr}")
    assert (done.stdout.strip(), done.stderr) == (str(found), "")


# --- modes ---------------------------------------------------------------------------------------------------------


def modes(run: Path) -> dict[str, int]:
    return {str(path.relative_to(run)): stat.S_IMODE(path.lstat().st_mode) for path in (run, *run.rglob("*"))}


FILES = ["campaign.yaml", "plan.json", "journal.jsonl", "learners/a/logs/0/sim.1.out"]


@pytest.mark.parametrize(("given", "folder", "file"), [(0o600, 0o700, 0o600), (0o640, 0o750, 0o640)])
def test_a_run_is_as_private_as_its_campaign_file(rose: Rose, given: int, folder: int, file: int) -> None:
    campaign(rose)
    (rose.folder / "campaign.yaml").chmod(given)
    (rose.folder / "ok").touch()
    (rose.folder / "there").mkdir(mode=0o755)
    assert rose("run", "campaign.yaml", "--run-dir", "there").code == 0
    assert rose("resume", "there", "--max-iter", "3").code == 0
    found = modes(rose.folder / "there")
    assert found["."] == folder
    assert {found[each] for each in (*FILES, "learners/a/logs/2/sim.1.err")} == {file}
    (rose.folder / "ok").unlink()
    run = failed_run(rose)
    assert (modes(run)["."], modes(run.parent)["."]) == (folder, 0o755), "there may be other runs beside it"


def test_who_reads_the_file_by_its_group_is_not_who_reads_the_run_by_another(alice: Person) -> None:
    campaign(alice)
    alice.sh("chmod 640 campaign.yaml; mkdir of-the-team; touch ok")
    os.chown(alice.folder / "of-the-team", ALICE, TEAM)
    (alice.folder / "of-the-team").chmod(0o2775)
    assert alice("run", "campaign.yaml", "--run-dir", "of-the-team/r").code == 0
    assert modes(alice.folder / "of-the-team/r")["."] & 0o077 == 0


def test_a_run_with_secrets_is_private_and_stays_as_its_owner_opens_it(rose: Rose) -> None:
    rose.script(FAILS_UNTIL_OK, "sim.sh")
    rose.write(CAMPAIGN.replace("max_iter", "env: {API_TOKEN: s3cr3t-s3cr3t}, max_iter"))
    told = "only you can read this run, because its campaign contains secrets"
    (rose.folder / "closed").mkdir(mode=0o700)
    assert told not in one_line(rose("run", "campaign.yaml", "--run-dir", "closed").err), "nobody else could read it"
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert (called.code, told in one_line(called.err)) == (1, True)
    assert modes(rose.folder / "r")["."] == 0o700
    (rose.folder / "r").chmod(0o750)
    (rose.folder / "ok").touch()
    assert rose("resume", "r").code == 0
    found = modes(rose.folder / "r")
    assert (found["."], found["plan.json"], found["learners/a/logs/1/sim.1.out"]) == (0o750, 0o600, 0o640)


def default_list(folder: Path) -> None:
    """Whatever is made in the folder can be written by the team, whatever the umask."""
    entries = [(OWN, 7, NOBODY), (OWN_GROUP, 5, NOBODY), (NAMED_GROUP, 7, TEAM), (MOST, 7, NOBODY), (OTHERS, 5, NOBODY)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(folder, "system.posix_acl_default", data)
    except OSError:
        pytest.skip("this file system has no access lists")


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="there are no access lists here")
def test_a_run_is_for_one_person_to_write_whatever_it_inherits(rose: Rose) -> None:
    campaign(rose)
    default_list(rose.folder)
    run = failed_run(rose)
    (rose.folder / "ok").touch()
    called = rose("resume")
    assert (called.code, said_besides_the_run(called.err)) == (0, "")
    workspace = run / "learners/a/workspace"
    assert [name for name, mode in modes(run).items() if mode & 0o022] == [str(workspace.relative_to(run))]


def test_a_run_in_the_folder_of_a_group_has_that_group(alice: Person) -> None:
    alice = alice.at("project").with_umask(0o002)
    os.chown(alice.folder, ALICE, TEAM)
    alice.folder.chmod(0o2775)
    campaign(alice)
    run = failed_run(alice)
    alice.sh("touch ok")
    called = alice("resume")
    assert (called.code, said_besides_the_run(called.err)) == (0, "")
    assert {path.lstat().st_gid for path in (run, *run.rglob("*"))} == {TEAM}
    writable = {path for path in (run.parent, run, *run.rglob("*")) if path.lstat().st_mode & 0o020}
    assert writable == {run / "learners/a/workspace"}


def test_nobody_else_can_hold_the_lock_of_a_run_but_they_see_that_it_goes_on(alice: Person, mallory: Person) -> None:
    alice.script("#!/bin/sh\necho $$ > pid\nexec sleep 1000\n", "sim.sh")
    alice.write(CAMPAIGN)
    session = alice.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    lock, pid = alice.folder / "r/lock", alice.folder / "r/learners/a/workspace/pid"
    try:
        wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"))
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert mallory.status("r")["status"] == "running"
        session.kill()
        session.communicate()
        assert mallory.attempt("flock -xn r/lock true").returncode != 0
        assert mallory.status("r")["status"] == "lost"
        alice.sh("echo '#!/bin/sh' > sim.sh")
        called = alice("resume", "r")
        assert called.code == 0, called.err
    finally:
        session.kill()
        session.communicate()


# --- processes -----------------------------------------------------------------------------------------------------


def forge(run: Path, run_id: str, pid: int, **session: Any) -> None:
    """Make the journal say that its task is under way in that process, in a session with these facts."""
    ticks = process_start_ticks(pid)
    assert ticks is not None
    events: list[e.Event] = []
    for line in (run / "journal.jsonl").read_bytes().splitlines(keepends=True):
        event = decode(line).event
        if isinstance(event, e.RunCreated):
            event = replace(event, run_id=run_id)
        elif isinstance(event, e.SessionStarted):
            event = replace(event, **session)
        if not isinstance(event, e.AttemptFailed | e.ProcessSpawned | e.LearnerStopped | e.SessionEnded):
            events.append(event)
    spawned = e.ProcessSpawned("a", 0, "sim", 0, 1, pid, ticks)
    records = [Record(n, 1.7e9 + n, event) for n, event in enumerate([*events, spawned], 1)]
    (run / "journal.jsonl").write_bytes(b"".join(map(encode, records)))


def test_no_journal_ends_a_process_that_is_not_its_runs(rose: Rose) -> None:
    """Whoever copies a run to a folder of their own has made it theirs, with whatever its journal claims."""
    campaign(rose)
    failed_run(rose, "--run-dir", "pristine")
    (rose.folder / "ok").touch()
    rose.script("#!/bin/sh\nexec sleep 1000\n", "sleep.sh")
    rose.write(CAMPAIGN.replace("./sim.sh", "./sleep.sh"), "living.yaml")
    stranger = subprocess.Popen(["sleep", "1000"])
    session = rose.start("run", "living.yaml", "--run-dir", "living", "--output", "quiet")
    try:
        journal = rose.folder / "living/journal.jsonl"
        wait_until(lambda: journal.exists() and b'"process_spawned"' in journal.read_bytes())
        task = next(event["pid"] for event in rose.events("living") if event["event"] == "process_spawned")
        living, identity = rose.events("living")[0]["run_id"], directory_identity(rose.folder / "living")
        run = rose.folder / "r"
        claims: list[tuple[str, dict[str, Any]]] = [
            ("x", {}),
            ("x", {"identity": None, "directory": None}),
            (living, {"identity": None}),
            (f"{living}-{identity}", {"identity": None, "directory": str(run)}),
            (living, {"identity": identity, "directory": str(run)}),
            (living, {"identity": identity, "directory": str(rose.folder / "nowhere")}),
        ]
        for number, (run_id, facts) in enumerate(claims):
            pid = task if number > 1 else stranger.pid
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(rose.folder / "pristine", run)
            forge(run, run_id, pid, **{"identity": directory_identity(run), "directory": str(run), **facts})
            called = rose("resume", "r")
            assert called.code == 0, called.err
            assert "ended" not in called.err
            assert f"process {pid} is left alone" in called.err or "directory" in facts
            assert (stranger.poll(), process_is_running(task, None)) == (None, True)
    finally:
        stranger.kill()
        stranger.wait()
        rose("stop", "living")
        session.communicate(timeout=PATIENCE)
