"""The colours of the page, as readers with each kind of colour vision see them."""

from __future__ import annotations

import itertools
import re
from typing import TypeAlias

import pytest

from tests.conftest import REPOSITORY

Colour: TypeAlias = tuple[float, float, float]

# Machado, Oliveira and Fernandes 2009: what is left of linear red, green and blue, at full severity
VISION = {
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
}
LEAST_DIFFERENCE = 20
"""In CIELAB, where 2 is just noticeable side by side."""

CSS = (REPOSITORY / "rose_cli" / "report" / "assets" / "report.css").read_text(encoding="utf-8")


def palette(theme: str, kind: str) -> list[Colour]:
    light, dark = CSS.split("@media screen and (prefers-color-scheme: dark)")[:2]
    found = re.findall(rf"--{kind}(?:-\d)?: #([0-9a-f]{{6}})", light if theme == "light" else dark.split("* {")[0])
    return [_linear(each) for each in found]


def _linear(colour: str) -> Colour:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    first, second, third = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))
    return first, second, third


def _mix(rows: tuple[Colour, ...], colour: Colour) -> Colour:
    first, second, third = (sum(a * b for a, b in zip(row, colour, strict=True)) for row in rows)
    return first, second, third


def _lab(colour: Colour) -> Colour:
    white = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8728))
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in _mix(white, colour))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("kind", ["series", "task"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_reader_can_tell_the_colours_apart(theme: str, kind: str, vision: str) -> None:
    colours = palette(theme, kind)
    assert len(colours) == 8
    seen = [_lab(_mix(VISION[vision], colour)) for colour in colours]
    least = min(
        sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in itertools.combinations(seen, 2)
    )
    assert least >= LEAST_DIFFERENCE


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_stand_out_from_the_paper(theme: str) -> None:
    (paper,) = palette(theme, "paper")
    for colour in palette(theme, "series"):
        lights = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (paper, colour))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 3
