"""The table of a run in a notebook. IPython is used where it is loaded, and never imported."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.api.process import SessionProcess

_LOOK_SECONDS, _LOOK_SHARE = 1.0, 20
"""How long between two looks at a run: this long, or so many times as long as a look takes, if that is more."""


def in_notebook() -> bool:
    """Whether this program is the kernel of a notebook."""
    shell = _shell()
    return shell is not None and getattr(shell, "kernel", None) is not None


def _shell() -> Any:  # noqa: ANN401 - IPython may be missing
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


class Display:
    """The table of a run, below a cell of a notebook."""

    def __init__(self, process: SessionProcess, page: Callable[[], str | None]) -> None:
        """`page`: the table as HTML, once there is one."""
        self._process = process
        self._page = page
        self._display: Any = sys.modules["IPython.display"]
        self._handle: Any = None
        self._shown = ""

    def follow(self, work: Callable[[], object] | None = None) -> None:
        """Keep it up to date until the session has ended; `work` goes on in this thread meanwhile."""
        thread = threading.Thread(target=self._follow, name="rose-display", daemon=True)
        self._update()
        thread.start()
        if work is not None:
            work()
        self._process.join()
        thread.join()

    def follow_in_background(self) -> None:
        self._update()
        threading.Thread(target=self._follow, name="rose-display", daemon=True).start()

    def _follow(self) -> None:
        seconds, has_ended = _LOOK_SECONDS, False
        while not has_ended:
            has_ended = self._process.join(seconds)
            started = time.monotonic()
            with suppress(Exception):  # a table that cannot be drawn now ends nothing, and may be drawn later
                self._update()
            seconds = max(_LOOK_SECONDS, _LOOK_SHARE * (time.monotonic() - started))

    def _update(self) -> None:
        page = self._page() or "<p>starting …</p>"
        if page == self._shown:
            return
        self._shown = page
        if self._handle is None:
            self._handle = self._display.display(self._display.HTML(page), display_id=True)
        else:
            self._handle.update(self._display.HTML(page))
