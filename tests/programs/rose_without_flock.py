"""rose, as on a file system where a host does not see the flocks of another one: NFS 3, many parallel file systems."""

from __future__ import annotations

import errno

from rose_cli.__main__ import main
from tests.programs.refuse import refuse

if __name__ == "__main__":
    refuse("flock", errno.ENOTSUP)
    main()
