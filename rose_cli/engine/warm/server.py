"""The server of warm starts: imports the modules of `preload`, then forks a process for each task that rose requests.

It runs in the task's own interpreter, Python 3.8 or later, with the standard library alone, and takes care that neither
its modules nor its names are left for the task to see. Rose's end of the socket, see `client`, sends:

- first the modules to import; the answer is `ready`, or `unfit` with the modules that are to blame, if known, a reason,
  and the server's end
- then requests, with three descriptors: files for standard output and error, and a pipe. The answer is the token of the
  request and `pid` of a process that waits for a byte in that pipe, `cold` with a reason, `failed`, or `stale`: a file
  that the server has loaded was changed, and it ends

The process was forked twice, so that it is rose's child (rose is a subreaper). If the pipe closes, it ends.
"""

from __future__ import annotations

import _socket
import marshal
import os
import sys

from rose_cli.engine.warm import fitness
from rose_cli.engine.warm.depth import Depth
from rose_cli.engine.warm.ending import Ending
from rose_cli.engine.warm.forked import Forked
from rose_cli.engine.warm.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST_BYTES = 1 << 17
"""The most that a request may have."""


class Server:
    """`serve` returns in forked tasks only. There it has the program to run, and is a context manager for its end.

    `numbers`: the descriptors of the socket and of the file that this program came from, -1 if it has a name.
    """

    def __init__(
        self, main: dict[str, object], fresh: Mapping[str, object], bare: Mapping[str, object], numbers: list[int]
    ) -> None:
        control, own_file = numbers
        if own_file >= 0:
            os.close(own_file)
            del main["__file__"]
        self.depth = Depth()
        self._main = main
        os.set_inheritable(control, False)
        self._socket = _socket.socket(fileno=control)
        self._start = fitness.Start(bare)
        self._forked = Forked(main, fresh)
        self._ending = Ending()

    def serve(self) -> None:
        self._hide()
        modules: list[str] = marshal.loads(self._receive()[0])
        try:
            self._forked.check()
            self._loaded = self._start.load(modules)
        except fitness.UnfitError as error:
            self._answer(f"unfit {','.join(error.modules)} {error}")
            os._exit(0)
        self._forked.keep_changes()
        names = dict(self._main)
        self._main.clear()  # an empty dictionary is not tracked: `__main__` is not frozen
        self._ending.freeze([*self._loaded.added])
        self._main.update(names)
        self._answer("ready")
        self._serve()
        self.depth.forgive(text=self.function is exec)

    @property
    def ends_here(self) -> bool:
        """Whether the end of the program has to be known here: what nobody needs, nobody can see."""
        return self._forked.ends_here

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, value: BaseException | None, trace: object) -> None:
        self._forked.end(value)

    @property
    def function(self) -> Callable[..., object]:
        return self._forked.function

    def __iter__(self) -> Iterator[object]:
        return iter(self._forked.arguments())

    def _hide(self) -> None:
        """Leave no module and no entry of the path that an interpreter does not have after its start."""
        for name in [*sys.modules]:
            if name not in self._start.bare:
                del sys.modules[name]
        if not getattr(sys.flags, "safe_path", False):
            sys.path_importer_cache.pop(sys.path.pop(0), None)

    def _serve(self) -> None:
        """Serve until this is a forked task, or rose is gone."""
        while True:
            data, descriptors = self._receive()
            if not data:
                os._exit(0)
            request = Request(*marshal.loads(data))
            answer = self._loaded.why_not(request) or self._fork(request, descriptors)
            if answer is None:
                return
            for descriptor in descriptors:
                os.close(descriptor)
            self._answer(f"{request.token} {answer}")
            if answer == fitness.STALE:
                os._exit(0)

    def _fork(self, request: Request, descriptors: list[int]) -> str | None:
        """The answer; None in the task."""
        reader, writer = os.pipe()
        middle = os.fork()
        if middle == 0:
            try:
                if os.fork() == 0:
                    os.close(reader)
                    self._socket.close()
                    self._forked.become(request, descriptors, writer)
                    return None
            except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not serve
                os.write(writer, f"failed {type(error).__name__}: {error}"[:500].encode(errors="replace"))
            os._exit(0)
        os.close(writer)
        answer = os.read(reader, 4096).decode(errors="replace")
        os.close(reader)
        os.waitpid(middle, 0)
        return answer or "failed the forked process ended"

    def _receive(self) -> tuple[bytes, list[int]]:
        data, ancillary, _, _ = self._socket.recvmsg(MOST_BYTES, 1024)
        descriptors = [
            int.from_bytes(content[at : at + 4], sys.byteorder)
            for _, _, content in ancillary
            for at in range(0, len(content), 4)
        ]
        return data, descriptors

    def _answer(self, text: str) -> None:
        self._socket.send(text.encode(errors="replace"))
