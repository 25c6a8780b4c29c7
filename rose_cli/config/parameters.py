"""The names of parameters: which are possible, and which the campaign at hand declares.

What they may be used in (words with placeholders, expressions) is checked value by value, where the campaign as a whole
is not known. So its names are context: they hold inside `declared`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from keyword import iskeyword
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PARAMETERS = 1_000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

MAX_NAME = 100

_declared: ContextVar[frozenset[str]] = ContextVar("declared_parameters", default=frozenset())


@contextmanager
def declared(names: frozenset[str]) -> Iterator[None]:
    """In the block, placeholders and expressions may use these parameters."""
    token = _declared.set(names)
    try:
        yield
    finally:
        _declared.reset(token)


def declared_parameters() -> frozenset[str]:
    return _declared.get()


_axes: ContextVar[frozenset[str]] = ContextVar("declared_axes", default=frozenset())


@contextmanager
def declared_axes_are(names: frozenset[str]) -> Iterator[None]:
    """In the block, placeholders may be these axes of replicas: of any task, since others may override its settings."""
    token = _axes.set(names)
    try:
        yield
    finally:
        _axes.reset(token)


def declared_axes() -> frozenset[str]:
    return _axes.get()


def is_parameter_name(name: object) -> bool:
    """Whether it can be written as a placeholder and in an expression."""
    return isinstance(name, str) and len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None and not iskeyword(name)
