"""Another kind of engine laid over a file's, and which keys go with which kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rose_cli.spec.document import Document

KINDS = ("local", "radical.pilot")
PILOT_KEYS = ("resource", "runtime", "nodes", "project", "queue", "access_schema", "restarts")


def with_engine(document: Document, text: str, source: str) -> Document:
    """The document with `engine` set to `text`.

    A kind over a map of another kind changes the kind alone, so that one file serves a laptop and a cluster. To a
    pilot everything stays, GPUs as their number; to local what was said of the pilot counts for nothing, its cores and
    GPUs included.
    """
    before = document.data.get("engine") if isinstance(document.data, dict) else None
    if not isinstance(before, dict) or text not in KINDS:
        return document.with_value(("engine",), text, source)
    if text == before.get("kind", "local"):
        return document
    for key in ("cores", "gpus", *PILOT_KEYS) if text == "local" else ():
        document = document.without(key, under="engine")
    if text == "radical.pilot" and isinstance(gpus := before.get("gpus"), list):
        document = document.with_value(("engine", "gpus"), str(len(gpus)), f"{source} gpus={len(gpus)}")
    return document.with_value(("engine", "kind"), text, source)
