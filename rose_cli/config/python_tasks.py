"""Field types of tasks that run Python: the modules to import before they start, the function to call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import PlainValidator

from rose_cli.config import shapes
from rose_cli.config.errors import expected, fail, fail_if_any
from rose_cli.config.rules import AUTO, is_function_reference, is_module_name
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import nearest, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MODULES = 100

_EXAMPLE = "write a list of module names, for example [numpy, sklearn.linear_model], or auto"


def _modules(value: object) -> tuple[str, ...]:
    """The names of modules, each once; only `AUTO` for those that rose finds out, none for `false`."""
    if value is None or value is False:
        return ()
    if isinstance(value, str) and value.strip() == AUTO:
        return (AUTO,)
    if not isinstance(value, list | tuple):
        fail("wrong-type", expected("a list of module names, or auto", value), _hint(value))
    if len(value) > MAX_MODULES:
        hint = "name the packages; importing a module imports those that it uses"
        fail("too-large", f"expected at most {MAX_MODULES} modules, not {len(value)}", hint)
    fail_if_any(error for position, name in enumerate(value) for error in _errors_in_name(name, position))
    return tuple(dict.fromkeys(value))


def _hint(value: object) -> str:
    if value is True:
        return "write auto, without quotes"
    if isinstance(value, str):
        names = value.replace(",", " ").split()
        if len(names) == 1 and nearest(names[0], [AUTO], 0.75) is not None:
            return "did you mean auto?"
        if names and all(map(is_module_name, names)):
            return f"write [{', '.join(names)}]"
    return _EXAMPLE


def _errors_in_name(name: object, position: int) -> Iterator[Diagnostic]:
    if not isinstance(name, str):
        yield Diagnostic("wrong-type", expected("the name of a module", name), (position,), "write it as in `import`")
    elif name == AUTO:
        message = "'auto' stands alone: it is not a module"
        yield Diagnostic("wrong-value", message, (position,), "write preload: auto, without a list")
    elif not is_module_name(name):
        message = f"'{shortened(name)}' cannot be the name of a module"
        yield Diagnostic("bad-name", message, (position,), _name_hint(name))


def _name_hint(name: str) -> str:
    meant = name.strip().removeprefix("import ").removesuffix(".py").replace("/", ".").replace("-", "_").strip(". ")
    if meant != name and is_module_name(meant):
        return f"did you mean '{meant}'?"
    return "write it as after `import`: letters, digits and '_', with dots between the parts"


_FUNCTION_EXAMPLE = "write module:name, for example simulation:run for the function run() in simulation.py"


def _function(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        fail("wrong-type", expected("module:name", None if value == "" else value), _FUNCTION_EXAMPLE)
    text = value.strip()
    if not is_function_reference(text) or text.partition(":")[0].endswith(".py"):
        fail("wrong-value", f"expected module:name, not '{shortened(text)}'", _function_hint(text))
    return text


_FILE_AND_NAME = re.compile(r"(?:\./)?(?P<module>[\w./-]+?)(?:\.py)?(?::+|\.)(?P<name>\w+)(?:\(\))?")


def _function_hint(text: str) -> str:
    if re.fullmatch(r"[\w.]+:\w+(\.\w+)+", text):
        return "name a function of the module itself: the methods of a class cannot be called"
    found = _FILE_AND_NAME.fullmatch(text)
    if found is not None and found["name"] != "py":
        meant = f"{found['module'].replace('/', '.').replace('-', '_')}:{found['name']}"
        if meant != text and is_function_reference(meant):
            return f"did you mean '{meant}'?"
    return _FUNCTION_EXAMPLE


FunctionReference = Annotated[str, PlainValidator(_function), shapes.FUNCTION]

Modules = Annotated[tuple[str, ...], PlainValidator(_modules), shapes.MODULES]
