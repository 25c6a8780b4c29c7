"""The standard streams: their names, modes, encodings, buffering, flags and positions."""

import fcntl
import io
import os
import stat
import sys

for name in ("stdin", "stdout", "stderr"):
    stream = getattr(sys, name)
    print(name, stream, stream is getattr(sys, f"__{name}__"), type(stream), type(stream.buffer), type(stream.buffer.raw))
    print(stream.name, stream.mode, stream.encoding, stream.errors, stream.newlines, stream.line_buffering)
    print(stream.write_through, stream.isatty(), stream.closed, stream.fileno(), stream.buffer.raw.closefd)
    print(stream.buffer.name, stream.buffer.raw.name, stream.buffer.raw.mode, stream.seekable(), stream._CHUNK_SIZE)
    flags = fcntl.fcntl(stream.fileno(), fcntl.F_GETFL)
    print(flags, fcntl.fcntl(stream.fileno(), fcntl.F_GETFD), stat.filemode(os.fstat(stream.fileno()).st_mode))
    print(os.readlink(f"/proc/self/fd/{stream.fileno()}"), os.get_inheritable(stream.fileno()))
sys.stdout.flush()
print(sys.stdout.tell(), sys.stdout.buffer.tell(), os.lseek(1, 0, os.SEEK_CUR), io.DEFAULT_BUFFER_SIZE)
