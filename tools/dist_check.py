"""Builds the wheel and the source archive, and tries the wheel in a clean environment for each Python on this machine.

    python -m tools.dist_check                  every supported Python that it finds
    python -m tools.dist_check PYTHON ...       these interpreters

The wheel built from the source archive must be the same, byte for byte. An environment gets the versions pinned in
requirements/rose.txt and the wheel, and nothing of this repository.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pip

import rose_cli
from rose_cli.util.errors import ExitCode

REPOSITORY = Path(__file__).parent.parent
_SUPPORTED = re.compile(r'"Programming Language :: Python :: (3\.\d+)"')
_FOR_THIS_ENVIRONMENT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _FOR_THIS_ENVIRONMENT}
_TIMEOUT_SECONDS = 300


def supported() -> list[str]:
    """The versions listed in pyproject.toml: `3.10` and so on."""
    return _SUPPORTED.findall((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def interpreters() -> list[str]:
    """One for each supported version: the one running this, or one on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = {"{}.{}".format(*sys.version_info): sys.executable}
    for version in supported():
        installed = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
        for candidate in (f"python{version}", *map(str, installed)):
            if version not in found and _version(candidate) == version:
                found[version] = candidate
    return [found[version] for version in supported() if version in found]


def _version(interpreter: str) -> str | None:
    """None if it does not run, like pyenv's shim for a version that is not selected, or cannot make environments."""
    program = "import sys, venv; print('{}.{}'.format(*sys.version_info))"
    try:
        return _run([interpreter, "-c", program], REPOSITORY).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def build(directory: Path) -> Path:
    """Build both, and return the wheel."""
    _run([sys.executable, "-m", "hatchling", "build", "-d", str(directory)], REPOSITORY)
    (wheel,), (archive,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(directory)  # noqa: S202 - it was made here
    unpacked, again = directory / archive.name.removesuffix(".tar.gz"), directory / "again"
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(again)], unpacked)
    if (again / wheel.name).read_bytes() != wheel.read_bytes():
        sys.exit("the source archive builds another wheel than the repository does")
    return wheel


def copy_pip(directory: Path) -> Path:
    """A pip that any interpreter runs: Debian packages ensurepip apart, so an environment may be without one.

    A copy on its own, since pip takes the packages beside it for installed.
    """

    return Path(shutil.copytree(Path(pip.__file__).parent, directory / "pip"))


def check(interpreter: str, wheel: Path, installer: Path) -> str:
    """Install the wheel and go through a first campaign with it; returns a line for the terminal."""
    started = time.monotonic()
    with TemporaryDirectory() as name:
        directory = Path(name)
        programs = directory / "environment" / "bin"
        _run([interpreter, "-m", "venv", "--without-pip", str(programs.parent)], directory)
        install = [
            str(programs / "python"),
            str(installer),
            "--quiet",
            "--disable-pip-version-check",
            "install",
            "--no-compile",
        ]
        pins = str(REPOSITORY / "requirements" / "rose.txt")
        _run([*install, "--only-binary", ":all:", "--require-hashes", "--requirement", pins], directory)
        _run([*install, "--no-deps", str(wheel)], directory)
        _go_through_a_campaign(programs, directory)
        version = _run([str(programs / "python"), "--version"], directory).strip()
    return f"{version}: installed and tried in {time.monotonic() - started:.0f} s"


def _go_through_a_campaign(programs: Path, directory: Path) -> None:
    rose, other_name = str(programs / "rose"), str(programs / "rose-cli")
    campaign = directory / "first"
    for command in (rose, other_name):
        _expect(rose_cli.__version__, _run([command, "--version"], directory))
    _run([rose, "init", campaign.name], directory)
    _run([rose, "validate", "campaign.yaml"], campaign)
    _run([rose, "run", "--smoke", "campaign.yaml"], campaign)
    for template in ("committee", "reinforcement-learning", "shell"):
        _run([rose, "init", template, "--template", template], directory)
        _run([rose, "run", "--smoke", f"{template}/campaign.yaml"], directory)
    _interrupt([rose, "run", "campaign.yaml", "--set", "max_iter=4", "--output", "json"], campaign)
    _run([other_name, "resume"], campaign)
    _expect('"status": "done"', _run([rose, "status", "--format", "json"], campaign))


def _interrupt(command: list[str], directory: Path) -> None:
    """Press Ctrl-C after the first iteration."""
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, cwd=directory, env=_ENVIRONMENT, stdout=pipe, stderr=both, text=True) as running:
        for line in running.stdout or ():
            if '"iteration_finished"' in line:
                running.send_signal(signal.SIGINT)
                break
        output, _ = running.communicate(timeout=_TIMEOUT_SECONDS)
    if running.returncode != ExitCode.INTERRUPTED:
        sys.exit(f"an interrupted run exited with {running.returncode}:\n{output}")


def _run(command: list[str], directory: Path) -> str:
    """The standard output of a command that must succeed."""
    return subprocess.run(
        command,
        cwd=directory,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=True,
    ).stdout


def _expect(pattern: str, output: str) -> None:
    if not re.search(pattern, output):
        sys.exit(f"expected {pattern!r} in this output:\n{output}")


def main(arguments: list[str]) -> None:
    chosen = arguments or interpreters()
    with TemporaryDirectory() as name, ThreadPoolExecutor(max_workers=2) as pool:
        try:
            wheel, installer = build(Path(name)), copy_pip(Path(name))
            for line in pool.map(lambda interpreter: check(interpreter, wheel, installer), chosen):
                sys.stdout.write(f"{line}\n")
        except subprocess.CalledProcessError as error:
            sys.exit(f"{error}\n{error.output}")


if __name__ == "__main__":
    main(sys.argv[1:])
