from pathlib import Path


def who():
    return __name__, (Path(__file__).parent / "data.txt").read_text()
