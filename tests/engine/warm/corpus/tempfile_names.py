"""tempfile: the folder is that of the task's environment, and what was made is gone at the end."""
# run: TMPDIR=. python tempfile_names.py

import os
import tempfile
from pathlib import Path

print(tempfile.gettempdir(), tempfile.gettempprefix())
with tempfile.NamedTemporaryFile("w") as file:
    file.write("x")
    print(len(list(Path().iterdir())), Path(file.name).parent == Path.cwd())
kept = tempfile.TemporaryDirectory()
forgotten = tempfile.TemporaryFile()
forgotten.write(b"x")
print(len(list(Path().iterdir())), os.environ["TMPDIR"])
