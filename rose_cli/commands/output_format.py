"""The format that the name of an output file asks for, so that no file has a name of what it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rose_cli.util.errors import UsageError
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_Format = TypeVar("_Format", bound=str)

_OTHER_FORMATS = {
    suffix: name
    for name, suffixes in {
        "a PDF file": ".pdf",
        "a PostScript file": ".ps .eps",
        "an image": ".jpg .jpeg .gif .webp .bmp .tif .tiff .svg .png",
        "a web page": ".html .htm",
        "a Markdown file": ".md .markdown",
        "a text document": ".docx .odt .rtf .tex",
        "a spreadsheet": ".xlsx .xls .ods",
        "a JSON file": ".json",
        "a JSON Lines file": ".jsonl",
        "a CSV file": ".csv",
        "a Parquet file": ".parquet",
        "a notebook": ".ipynb",
        "a YAML file": ".yaml .yml",
        "a file of binary data": ".feather .arrow .h5 .hdf5 .nc .npy .npz .pkl .rds .db .sqlite .duckdb",
        "a ZIP file": ".zip",
        "a compressed file": ".gz .bz2 .xz .zst",
    }.items()
    for suffix in suffixes.split()
}


def format_by_name(path: Path, known: Mapping[str, _Format], default: _Format, hints: Mapping[str, str]) -> _Format:
    """`known`: formats by suffix; a name without a telling suffix gets the `default`. `hints`: what to do instead.

    Raises UsageError if the suffix is that of a format which is not known.
    """
    suffix = path.suffix.casefold()
    if suffix in known:
        return known[suffix]
    if (other := _OTHER_FORMATS.get(suffix)) is None:
        return default
    hint = hints.get(suffix, f"choose a name that ends in {', '.join(known)}, or add --format")
    raise UsageError(f"'{short_path(path)}' is the name of {other}, which cannot be written here", hint)
