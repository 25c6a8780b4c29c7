"""What a reinforcement learner has seen, and the files that hold it."""

from __future__ import annotations

import os
import pickle
import random
import uuid
from collections import deque
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MERGED = "experience_bank.pkl"
_PARTS = "experience_bank_*.pkl"


@dataclass
class Experience:
    """One step in an environment."""

    state: Any
    action: Any
    reward: float
    next_state: Any
    done: bool
    info: dict[str, Any] | None = field(default_factory=dict)


class ExperienceBank:
    """Experiences in the order in which they came; of more than `max_size`, the latest ones."""

    def __init__(self, max_size: int | None = None, session_id: str | None = None) -> None:
        self.max_size = max_size
        self.session_id = session_id or f"experience_bank_{uuid.uuid4().hex[:8]}"
        self._experiences: deque[Experience] = deque(maxlen=max_size)
        self._random = random.Random()

    def __len__(self) -> int:
        return len(self._experiences)

    def __iter__(self) -> Iterator[Experience]:
        return iter(self._experiences)

    @overload
    def __getitem__(self, index: int) -> Experience: ...

    @overload
    def __getitem__(self, index: slice) -> list[Experience]: ...

    def __getitem__(self, index: int | slice) -> Experience | list[Experience]:
        return list(self._experiences)[index] if isinstance(index, slice) else self._experiences[index]

    def add(self, experience: Experience) -> None:
        """One more."""
        self._experiences.append(experience)

    def add_batch(self, experiences: Iterable[Experience]) -> None:
        """Several more."""
        self._experiences.extend(experiences)

    def sample(self, batch_size: int, replace: bool = True) -> list[Experience]:
        """Random ones; `replace`: one may be chosen twice. Raises ValueError if there are too few."""
        known = list(self._experiences)
        if not known:
            return []
        if replace:
            return self._random.choices(known, k=batch_size)
        if batch_size > len(known):
            message = f"there are {len(known)} experiences, and {batch_size} different ones are asked for"
            raise ValueError(message)
        return self._random.sample(known, k=batch_size)

    def merge(self, other: ExperienceBank) -> ExperienceBank:
        """A new bank with both, as large as the larger one may be."""
        sizes = [each.max_size for each in (self, other) if each.max_size is not None]
        merged = ExperienceBank(max(sizes, default=None))
        merged.add_batch(self)
        merged.add_batch(other)
        return merged

    def merge_inplace(self, other: ExperienceBank) -> None:
        """Add those of another bank."""
        self.add_batch(list(other))

    def clear(self) -> None:
        """Forget all."""
        self._experiences.clear()

    def get_recent(self, n: int) -> list[Experience]:
        """The latest `n`, or all if there are fewer."""
        return list(self._experiences)[-n:] if n > 0 else []

    def save(self, work_dir: str | os.PathLike[str] = ".", bank_file: str | None = None) -> str:
        """Write them to a file, by default one with the name of the bank, and return its path."""
        path = Path(work_dir) / (bank_file or f"{self.session_id}.pkl")
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.write_bytes(pickle.dumps(list(self._experiences)))
        new.replace(path)
        return str(path)

    @classmethod
    def load(cls, filepath: str | os.PathLike[str], max_size: int | None = None) -> ExperienceBank:
        """Those of a file; none if there is no such file. A pickle runs code: read only files of your own."""
        bank = cls(max_size)
        path = Path(filepath)
        if path.exists():
            bank.add_batch(pickle.loads(path.read_bytes()))
        return bank


def create_experience(
    state: Any, action: Any, reward: float, next_state: Any, done: bool, info: dict[str, Any] | None = None
) -> Experience:
    """An experience."""
    return Experience(state, action, reward, next_state, done, info)


def merge_files(directory: str | os.PathLike[str]) -> int:
    """Merge the files of the environments into one, and remove them. Returns how many experiences that has.

    Only when the merged file is complete are the others removed, so a merge that was interrupted can be repeated.
    """
    paths = sorted(Path(directory).glob(_PARTS))
    merged = ExperienceBank()
    for path in paths:
        merged.merge_inplace(ExperienceBank.load(path))
    if paths:
        merged.save(directory, MERGED)
    for path in paths:
        path.unlink()
    return len(merged) if paths else len(ExperienceBank.load(Path(directory) / MERGED))
