"""Which places of a document hold mistakes, so that nothing is said of what only follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.diagnostic import Finding, KeyPath

_OF_ABSENCE = frozenset({"missing-key", "no-tasks", "no-learners"})


@dataclass(frozen=True)
class Broken:
    """`paths` lead to values that are wrong, missing, or not meant where they are.

    `thinned` lead to maps and lists of which some could not be read, `partial` to those of which nobody knows what:
    a key that they lack may well be in the file.
    """

    paths: frozenset[KeyPath] = frozenset()
    partial: frozenset[KeyPath] = frozenset()
    thinned: frozenset[KeyPath] = frozenset()

    def with_paths(self, paths: Iterable[KeyPath]) -> Broken:
        return Broken(self.paths | frozenset(paths), self.partial, self.thinned)

    def holds(self, path: KeyPath) -> bool:
        """Whether the value at the path, or one around it, is broken: nothing is known of it."""
        return any(path[:length] in self.paths for length in range(len(path) + 1))

    def lacks(self, path: KeyPath) -> bool:
        """Whether some of what belongs right into the map or list at the path may be missing."""
        return path in self.partial or path in self.thinned or self.holds(path)

    def touches(self, path: KeyPath) -> bool:
        """Whether the value at the path may not be all of what the user meant."""
        return path in self._around or self.lacks(path) or path[:-1] in self.partial

    def explains(self, finding: Finding) -> bool:
        """Whether a finding may only be there because of another mistake."""
        path, is_of_absence = finding.path, finding.code in _OF_ABSENCE or finding.message.endswith("is empty")
        return self.holds(path) or (is_of_absence and (self.lacks(path) or path[:-1] in self.partial))

    @cached_property
    def _around(self) -> frozenset[KeyPath]:
        every = (*self.paths, *self.partial, *self.thinned)
        return frozenset(path[:length] for path in every for length in range(len(path)))


NOTHING = Broken()
