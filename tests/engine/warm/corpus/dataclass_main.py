"""typing, dataclasses, enum, doctest, inspect: what looks into sys.modules['__main__'] finds this file."""

from __future__ import annotations

import doctest
import enum
import inspect
import sys
import typing
from dataclasses import dataclass, fields


class Kind(enum.Enum):
    A = "a"


@dataclass
class Node:
    kind: Kind
    next: typing.Optional[Node] = None


def double(x: int) -> int:
    """
    >>> double(2)
    4
    >>> double(3)
    7
    """
    return 2 * x


print(typing.get_type_hints(Node), [field.type for field in fields(Node)], repr(Node(Kind.A)))
print(sys.modules["__main__"].Node is Node, inspect.getmodule(Node).__name__, inspect.getsourcefile(Node))
print(inspect.getsource(double), inspect.signature(double))
print(doctest.testmod())
