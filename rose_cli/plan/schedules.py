"""What is wrong with a learner's schedules: keys that never count."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, KeyPath, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import Iterations


def check_keys(schedule: Iterations, path: KeyPath, max_iter: int | None, around: Surroundings) -> Iterator[Finding]:
    """`max_iter` None: there is none, or it is not known."""
    keys = sorted(key for key in schedule.at if key >= 0)
    late = [key for key in keys if max_iter is not None and key >= max_iter]
    for key in late:
        message = f"iteration {key} never comes: with max_iter {max_iter} the last one is {(max_iter or 0) - 1}"
        hint = "iterations count from 0; set a larger max_iter, or take the key out"
        # people shorten runs to try them: what would come later does no harm
        yield Finding("iteration-never-comes", message, (*path, key), hint, Severity.WARNING, at_key=True)
    if around.broken.touches(path):
        return
    yield from _check_rest(schedule, path, keys, max_iter)
    if not schedule.hold and not late:
        yield from _check_starts(path, keys, others=-1 in schedule.at)


def _check_rest(schedule: Iterations, path: KeyPath, keys: Sequence[int], max_iter: int | None) -> Iterator[Finding]:
    if -1 not in schedule.at or not keys:
        return
    message = None
    if schedule.hold and keys[0] == 0:
        message = "-1 is never used: with 'hold' the key 0 counts from the first iteration on"
    elif not schedule.hold and max_iter is not None and sum(key < max_iter for key in keys) == max_iter:
        message = "-1 is never used: every iteration has a key of its own"
    if message:
        yield Finding("unused-key", message, (*path, -1), "take it out", Severity.WARNING, at_key=True)


def _check_starts(path: KeyPath, keys: Sequence[int], *, others: bool) -> Iterator[Finding]:
    """With a key for the first iteration, or none for the others, keys far apart may be meant as starts."""
    apart = all(later - earlier > 1 for earlier, later in pairwise(keys))
    if len(keys) < 2 or not apart or (others and keys[0] != 0):
        return
    rest = "what -1 gives" if others else "the task as declared"
    message = f"each key is one iteration, not a start: iteration {keys[0] + 1} takes {rest}, not what {keys[0]} gives"
    hint = "add 'hold: true' beside the keys if each is to count from there on"
    yield Finding("keys-look-like-starts", message, path, hint, Severity.WARNING, at_key=True)
