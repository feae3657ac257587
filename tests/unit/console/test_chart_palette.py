"""The palettes of charts: contrast with the page and with a band, and told apart by everybody."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from console.ui.charts import palette

LEAST_CONTRAST = 3.0  # WCAG 2.2, 1.4.11
LEAST_DISTANCE = 0.1  # in OKLab, where black and white are 1 apart
# Machado, Oliveira, Fernandes 2009: the colours that are seen without one of the three cones.
SIGHTS = {
    "all": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def linear(colour: str) -> Any:
    part = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(light: Any) -> Any:
    cones = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    axes = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.array(axes) @ np.cbrt(np.clip(np.array(cones) @ light, 0, None))


@pytest.mark.parametrize("theme", palette.THEMES)
def test_series_marks_and_edges_stand_out_from_the_page_and_from_a_band(theme: str) -> None:
    colours, page = palette.theme(theme)["chartCategoricalColors"], palette.theme(theme)["backgroundColor"]
    band = palette.theme(theme)["chartSequentialColors"][0]  # palette.BAND
    assert min(contrast(colour, page) for colour in colours) >= LEAST_CONTRAST
    assert min(contrast(colour, band) for colour in colours) >= LEAST_CONTRAST


@pytest.mark.parametrize("kind", SIGHTS)
@pytest.mark.parametrize("theme", palette.THEMES)
def test_series_are_told_apart_with_every_kind_of_sight(theme: str, kind: str) -> None:
    colours = palette.theme(theme)["chartCategoricalColors"][: len(palette.SERIES)]
    colours_seen = [oklab(np.clip(np.array(SIGHTS[kind]) @ linear(colour), 0, 1)) for colour in colours]
    least = LEAST_DISTANCE if kind != "tritanopia" else 0.8 * LEAST_DISTANCE  # one person in ten thousand
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(colours_seen, 2)) >= least


def test_after_seven_series_the_colours_begin_again_with_another_line() -> None:
    looks = {(palette.series(number), palette.dash(number)) for number in range(21)}
    assert len(looks) == 21
