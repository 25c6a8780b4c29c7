"""The picture of the live table in the README: a real run of the tutorial, about halfway.

python -m tools.picture docs/table.svg
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.journal.file import read_journal
from rose_cli.journal.state import RunState
from rose_cli.plan.file import load_plan
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.picture import WIDTH, replayed_facts, table_svg

if TYPE_CHECKING:
    from rose_cli.journal.codec import Record

CAMPAIGN = Path(__file__).parent.parent / "campaigns" / "tutorial" / "campaign.yaml"
SHARE_OF_RECORDS = 0.75


def run_svg(directory: RunDirectory, records: int | None = None, width: int = WIDTH) -> str:
    """The table of a real run after a number of records of its journal; None: after the last one."""
    plan, state = load_plan(directory.plan), RunState()

    def consume(record: Record) -> None:
        if records is None or record.sequence <= records:
            state.apply(record)

    read_journal(directory.journal, consume)
    return table_svg(plan, state, replayed_facts(plan, state), width)


def main(picture: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.at(Path(folder) / "run")
        command = [sys.executable, "-m", "rose_cli", "run", str(CAMPAIGN), "--run-dir", str(run.path)]
        # as many cores as learners, so that the picture does not depend on the machine
        subprocess.run([*command, "--output", "quiet", "--set", "engine={cores: 4}"], check=True)
        records = len(run.journal.read_bytes().splitlines())
        picture.write_text(run_svg(run, int(records * SHARE_OF_RECORDS)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
