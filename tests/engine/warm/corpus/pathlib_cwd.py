"""The working folder: getcwd, PWD, relative files, and after it was removed."""

import os
from pathlib import Path

print(os.getcwd(), Path().absolute(), Path("x").resolve(), os.environ.get("PWD"), os.path.abspath("y"))
Path("made").mkdir()
Path("made/file").write_text("x")
os.chdir("made")
print(os.getcwd())
os.remove("file")
os.rmdir("../made")
os.getcwd()
