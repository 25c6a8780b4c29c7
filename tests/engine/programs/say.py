"""Says something to the test: a file in the working folder, there at once or not at all."""

import os
from pathlib import Path


def say(name: str, text: object = "") -> None:
    draft = Path(f"{name}.{os.getpid()}")
    draft.write_text(str(text), encoding="utf-8")
    draft.rename(name)
