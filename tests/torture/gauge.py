"""What a process needs while it runs: memory and open files, as `/proc` shows them from the outside."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from typing import Any

LOOK_SECONDS = 0.05


@dataclass
class Peak:
    """The most that was seen."""

    megabytes: float = 0.0
    files: int = 0
    threads: int = 0

    def look(self, pid: int) -> None:
        with suppress(OSError):
            place = Path(f"/proc/{pid}")
            status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
            self.megabytes = max(self.megabytes, int(status.get("VmHWM", "0 kB").split()[0]) / 1024)
            self.threads = max(self.threads, int(status["Threads"]))
            self.files = max(self.files, len(list((place / "fd").iterdir())))


def watch(process: subprocess.Popen[Any]) -> Peak:
    """Look again and again until the process has ended."""
    peak = Peak()
    while process.poll() is None:
        peak.look(process.pid)
        time.sleep(LOOK_SECONDS)
    return peak
