"""Tests of the maps' colours: PSR's white, black and grey are seen on them, by everyone."""

import matplotlib
import numpy as np
import pytest

from advscope.report.figure_style import CELL_CLASSES
from advscope.report.map_colours import beyond, common_limits, map_colours

# Machado, Oliveira & Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency, IEEE TVCG 15,
# 2009, Table 1, severity 1; of linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def seen(colours: np.ndarray, vision: str) -> np.ndarray:
    """Return sRGB colours as CIE Lab under D65, as somebody sees them."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = (linear @ VISION[vision].T).clip(0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / to_xyz.sum(1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("vision", VISION)
def test_the_fillings_stand_out_from_every_colour_of_a_map_and_from_each_other(vision: str) -> None:
    fillings = seen(np.array([matplotlib.colors.to_rgb(kind.fill) for kind in CELL_CLASSES]), vision)
    colours = seen(map_colours()(np.linspace(0, 1, 256))[:, :3], vision)

    assert np.linalg.norm(fillings[:, None] - colours, axis=2).min() > 27
    assert min(np.linalg.norm(fillings[one] - fillings[other]) for one, other in ((0, 1), (0, 2), (1, 2))) > 40
    # High is bright, so that a map is read in grey, too.
    assert np.all(np.diff(colours[:, 0]) > 0)


def test_maps_of_other_libraries_would_not_do() -> None:
    """The measure tells: grey is on viridis, for somebody who sees no green."""
    grey = seen(np.array([matplotlib.colors.to_rgb("#808080")]), "deuteranopia")
    viridis = seen(matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3], "deuteranopia")
    assert np.linalg.norm(viridis - grey, axis=1).min() < 5


def test_edges_part_a_filling_from_neighbours_of_its_own_brightness() -> None:
    for kind in CELL_CLASSES:
        filling, edge = (matplotlib.colors.to_rgb(colour)[0] for colour in (kind.fill, kind.edge))
        assert abs(filling - edge) > 0.4


def test_limits_leave_out_what_is_undefined() -> None:
    assert common_limits([np.array([[1.0, np.nan]]), np.array([[-2.0, np.inf]])]) == (-2.0, 1.0)
    assert common_limits([np.full((2, 2), np.nan)]) == common_limits([]) == (0.0, 1.0)


def test_a_few_extreme_values_do_not_set_the_scale():
    values = np.linspace(-1, 1, 2001)
    assert common_limits([values]) == (-1, 1)
    low, high = common_limits([np.append(values, [50.0, -70.0])])
    assert -1 <= low < -0.9
    assert 0.9 < high <= 1
    # A map that is 0 nearly everywhere has no middle.
    assert common_limits([np.append(np.zeros(2000), 5.0)]) == (0, 5)


def test_the_scale_says_where_it_is_cut_off():
    assert beyond([np.array([-2.0, 0.0]), np.array([np.nan, 1.0])], (-1.0, 1.0)) == "min"
    assert beyond([np.array([-2.0, 3.0])], (-1.0, 1.0)) == "both"
