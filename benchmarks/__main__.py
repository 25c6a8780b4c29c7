"""`python -m benchmarks [SECTION]...`: measure, print each section, and write the page.

A section that fails is named, and the others are measured all the same; the page is written from all results that are
stored in build/benchmarks/results/, and after each section, so that nothing is lost when this is interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from benchmarks import large, opponents, overhead, scale, screen, start, warm
from benchmarks.measure import BUILD, BUSY, BenchmarkError, Others, machine, rose_version
from benchmarks.report import Result, Section, Size, page

SECTIONS: tuple[Section, ...] = (
    overhead.SECTION,
    warm.SECTION,
    start.SECTION,
    screen.SECTION,
    scale.SECTION,
    large.SECTION,
    opponents.PROCESSES,
    opponents.PYTHON_TASKS,
)


def main() -> int:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the program that is being measured, too
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else whatever is measured is compiled at each start
    description = machine()
    failed = []
    for section in SECTIONS:
        if chosen.page or (chosen.sections and section.name not in chosen.sections):
            continue
        before = Result.stored(chosen.results, section.name)
        if chosen.resume and before and before.rose == rose_version() and not before.failed:
            print(f"{section.name}: measured before\n", flush=True)
            continue
        result = measure(section, chosen.size)
        result.store(chosen.results)
        _say(section, result)
        failed += [section.name] if result.failed else []
        chosen.write.write_text(page(SECTIONS, chosen.results, description), encoding="utf-8")
    chosen.write.write_text(page(SECTIONS, chosen.results, description), encoding="utf-8")
    print(f"written: {chosen.write}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(section: Section, size: Size) -> Result:
    """A section that fails, in whatever way, leaves the reason and does not stop the others."""
    result = Result(section.name, size.name.lower(), rose_version(), time.strftime("%Y-%m-%d", time.gmtime()), 0, 0)
    others, started = Others(), time.perf_counter()
    try:
        for row in section.run(size):
            result.rows.append(row)
    except BenchmarkError as error:
        result.failed = str(error)
    except Exception as error:  # noqa: BLE001 - a benchmark that is broken is to be mended, and the rest is of use
        result.failed = f"{type(error).__name__}: {error}"
    result.seconds, result.others = time.perf_counter() - started, others.share()
    return result


def _say(section: Section, result: Result) -> None:
    print(f"{section.title} ({result.seconds:.0f} s)")
    lines = [list(section.columns), *result.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if result.failed:
        print(f"  FAILED: {result.failed}")
    if result.others > BUSY:
        print(f"  warning: other programs used {result.others:.0%} of the machine")
    print(flush=True)


def _arguments() -> argparse.Namespace:
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"only these of: {', '.join(names)}")
    size = parser.add_mutually_exclusive_group()
    for each, what in ((Size.LONG, "more rounds, larger campaigns"), (Size.TINY, "everything once, as a test")):
        size.add_argument(f"--{each.name.lower()}", dest="size", action="store_const", const=each, help=what)
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page from what is stored")
    parser.add_argument("--resume", action="store_true", help="skip what was measured of this state of rose")
    parser.add_argument(
        "--write", type=Path, default=BUILD / "benchmarks.md", metavar="FILE", help="where the page goes"
    )
    parser.add_argument(
        "--results", type=Path, default=BUILD / "results", metavar="DIR", help="where results are stored"
    )
    parser.set_defaults(size=Size.SHORT)
    found = parser.parse_args()
    found.results = found.results or BUILD / ("tiny" if found.size is Size.TINY else "results")
    if unknown := set(found.sections) - set(names):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return found


if __name__ == "__main__":
    sys.exit(main())
