"""`dataclass` as in the standard library, but cheap to declare: nothing is compiled before it is used.

The standard decorator compiles up to eight methods for each class, which takes 0.7 ms. Rose has some two hundred such
classes, and a command creates objects of few of them.
"""

from __future__ import annotations

import dataclasses
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass

__all__ = ["dataclass"]

_ORDERS = (operator.lt, operator.le, operator.gt, operator.ge)


def _dataclass(
    cls: type | None = None,
    /,
    *,
    frozen: bool = False,
    eq: bool = True,
    order: bool = False,
    slots: bool = False,
) -> Any:  # noqa: ANN401 - type checkers see the standard decorator
    """As `dataclasses.dataclass`. With `slots` it is just that, since the class itself is then created anew."""
    if cls is None:
        return lambda cls: _dataclass(cls, frozen=frozen, eq=eq, order=order, slots=slots)
    if slots:
        return dataclasses.dataclass(cls, frozen=frozen, eq=eq, order=order, slots=True)
    dataclasses.dataclass(cls, init=False, repr=False, eq=False)
    _add(cls, __init__=_init(cls, frozen=frozen), __repr__=_repr(cls))
    values = _values(cls)
    if eq:
        _add(cls, __eq__=_compare(operator.eq, values))
        if "__hash__" not in vars(cls) or vars(cls)["__hash__"] is None:  # Python sets it to None beside an __eq__
            setattr(cls, "__hash__", _hash(values) if frozen else None)  # noqa: B010 - mypy knows only methods
    if order:
        _add(cls, **{f"__{compare.__name__}__": _compare(compare, values) for compare in _ORDERS})
    if frozen:
        _add(cls, __setattr__=_refuse_to_set, __delattr__=_refuse_to_delete)
    return cls


if not TYPE_CHECKING:
    dataclass = _dataclass


def _add(cls: type, **methods: Callable[..., Any]) -> None:
    """Add the methods that the class does not define itself."""
    for name, method in methods.items():
        if name not in vars(cls):
            method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
            setattr(cls, name, method)


def _init(cls: type, *, frozen: bool) -> Callable[..., None]:
    """Replaces itself by the real one on its first call."""

    def init(self: object, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        real = _compiled_init(cls, frozen=frozen)
        cls.__init__ = real  # type: ignore[misc]
        real(self, *args, **kwargs)

    return init


def _compiled_init(cls: type, *, frozen: bool) -> Callable[..., None]:
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)
    names: dict[str, Any] = {"_set": object.__setattr__, "_MISSING": dataclasses.MISSING}
    parameters, body = ["self"], []
    for field in sorted(fields, key=lambda field: bool(field.kw_only)):
        name, value, default = field.name, field.name, ""
        if field.kw_only and "*" not in parameters:
            parameters.append("*")
        if field.default is not dataclasses.MISSING:
            names[f"_default_{name}"], default = field.default, f"=_default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            names[f"_make_{name}"], default = field.default_factory, "=_MISSING"
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        parameters.append(name + default)
        body.append(f"_set(self, '{name}', {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    lines = [f"def __init__({', '.join(parameters)}):", *(body or ["pass"])]
    exec("\n  ".join(lines), names)  # noqa: S102 - the names are those of attributes
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _values(cls: type) -> Callable[[Any], Any]:
    """What objects of the class are compared by."""
    names = [field.name for field in dataclasses.fields(cls) if field.compare]
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _compare(compare: Callable[[Any, Any], Any], values: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: object, other: object) -> Any:  # noqa: ANN401
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compare(values(self), values(other))

    return method


def _hash(values: Callable[[Any], Any]) -> Callable[[Any], int]:
    return lambda self: hash(values(self))


def _repr(cls: type) -> Callable[[Any], str]:
    names = [field.name for field in dataclasses.fields(cls) if field.repr]

    def method(self: object) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({shown})"

    return method


def _refuse_to_set(self: object, name: str, _value: object) -> None:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> None:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
