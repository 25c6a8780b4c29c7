"""Compare a campaign of tasks that do nothing with plain loops that start the same processes and record nothing.

Both alternate; the ratio within one run counts, because the speed of a shared machine drifts. The difference is what
rose adds: a journal on disk before and after each task, logs, a queue, and the state for the table.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LEARNERS, ITERATIONS, CORES, ROUNDS = 16, 20, 2, 5
CAMPAIGN = f"""
engine: {{kind: local, cores: {CORES}}}
max_iter: {ITERATIONS}
tasks: {{simulation: {{executable: "true"}}, training: {{executable: "true"}}}}
learners: {LEARNERS}
"""
STEPS = LEARNERS * ITERATIONS * 2


def plain_loop() -> None:
    """The same chains with subprocess.Popen in as many threads; the output is discarded."""

    def chain(_: int) -> None:
        for _step in range(ITERATIONS * 2):
            subprocess.run(["true"], check=True, stdin=subprocess.DEVNULL, start_new_session=True)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(chain, range(LEARNERS)))


def rose(folder: Path, iterations: int) -> None:
    command = [sys.executable, "-m", "rose_cli", "run", "campaign.yaml", "--output", "quiet"]
    subprocess.run([*command, "--max-iter", str(iterations)], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def seconds(call: object, *arguments: object) -> float:
    started = time.perf_counter()
    call(*arguments)  # type: ignore[operator]
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "campaign.yaml").write_text(CAMPAIGN)
        rose(folder, 1)
        rounds = [
            (seconds(plain_loop), seconds(rose, folder, ITERATIONS), seconds(rose, folder, 1)) for _ in range(ROUNDS)
        ]
    for name, values in (
        ("plain loop, ms per step", [plain / STEPS * 1000 for plain, _, _ in rounds]),
        ("rose, ms per step, start-up included", [whole / STEPS * 1000 for _, whole, _ in rounds]),
        (
            "rose, ms per step, start-up excluded",
            [(whole - one) / (STEPS - LEARNERS * 2) * 1000 for _, whole, one in rounds],
        ),
        ("ratio, start-up included", [whole / plain for plain, whole, _ in rounds]),
    ):
        print(f"{name:<40} {min(values):7.2f} {statistics.median(values):7.2f} {max(values):7.2f}")


if __name__ == "__main__":
    main()
