"""Crop and region rectangles, and the way back."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.editing.geometry import FITS, Rectangle, plan_frame
from mobie_coreml.editing.orientation import Orientation, from_display_matrix
from mobie_coreml.editing.resample import resize
from mobie_coreml.errors import InputError

SIZES = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
EVEN = st.tuples(st.integers(1, 64), st.integers(1, 64)).map(lambda size: (8 * size[0], 8 * size[1]))


@pytest.mark.parametrize(
    ("source", "fit", "crop", "region"),
    [
        ((640, 272), "cover", Rectangle(138, 0, 363, 272), Rectangle(0, 0, 256, 192)),
        ((272, 640), "cover", Rectangle(0, 218, 272, 204), Rectangle(0, 0, 256, 192)),
        ((640, 272), "contain", Rectangle(0, 0, 640, 272), Rectangle(0, 42, 256, 108)),
        ((272, 640), "contain", Rectangle(0, 0, 272, 640), Rectangle(87, 0, 82, 192)),
        ((640, 272), "stretch", Rectangle(0, 0, 640, 272), Rectangle(0, 0, 256, 192)),
        ((1024, 768), "cover", Rectangle(0, 0, 1024, 768), Rectangle(0, 0, 256, 192)),
        ((1024, 768), "contain", Rectangle(0, 0, 1024, 768), Rectangle(0, 0, 256, 192)),
    ],
)
def test_known_rectangles(source: tuple[int, int], fit: str, crop: Rectangle, region: Rectangle) -> None:
    plan = plan_frame(source, (256, 192), fit)
    assert (plan.crop, plan.region) == (crop, region)


@settings(max_examples=200, deadline=None)
@given(SIZES, EVEN, st.sampled_from(FITS))
def test_rectangles_lie_inside_and_are_centred(source: tuple[int, int], model: tuple[int, int], fit: str) -> None:
    plan = plan_frame(source, model, fit)
    for rectangle, (width, height) in ((plan.crop, source), (plan.region, model)):
        assert rectangle.x >= 0
        assert rectangle.y >= 0
        assert rectangle.width >= 1
        assert rectangle.height >= 1
        assert 0 <= width - rectangle.width - 2 * rectangle.x <= 1
        assert 0 <= height - rectangle.height - 2 * rectangle.y <= 1
    assert plan.region.width % 2 == 0
    assert plan.region.height % 2 == 0


@settings(max_examples=100, deadline=None)
@given(SIZES, EVEN, st.sampled_from(FITS), st.integers(-10, 5000), st.integers(-10, 5000))
def test_the_mapping_has_an_exact_inverse(
    source: tuple[int, int], model: tuple[int, int], fit: str, x: int, y: int
) -> None:
    plan = plan_frame(source, model, fit)
    assert plan.to_model(*plan.to_source(x, y)) == (x, y)
    corner = plan.to_source(plan.region.x + plan.region.width, plan.region.y + plan.region.height)
    assert corner == (plan.crop.x + plan.crop.width, plan.crop.y + plan.crop.height)


def test_contain_repeats_the_edge_and_gives_the_region_back() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (90, 300, 3), np.uint8)
    plan = plan_frame((300, 90), (64, 48), "contain")
    prepared = plan.prepare(frame)
    region = plan.region
    assert prepared.shape == (48, 64, 3)
    assert (prepared[: region.y] == prepared[region.y]).all()
    assert (prepared[region.y + region.height :] == prepared[region.y + region.height - 1]).all()
    assert np.array_equal(plan.restore(prepared), resize(frame, region.width, region.height))
    assert plan.restore(prepared, source_scale=True).shape == (90, 300, 3)


def test_cover_takes_the_centre() -> None:
    frame = np.zeros((40, 120, 3), np.uint8)
    frame[:, 40:80] = 200
    plan = plan_frame((120, 40), (32, 32), "cover")
    assert (plan.prepare(frame) == 200).all()
    assert plan.to_source(0, 0) == (40, 0)
    assert plan.to_source(Fraction(32), 32) == (80, 40)


@pytest.mark.parametrize(("size", "fit"), [((0, 5), "cover"), ((5, 5), "fill")])
def test_bad_plans_are_refused(size: tuple[int, int], fit: str) -> None:
    with pytest.raises(InputError):
        plan_frame(size, (32, 32), fit)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), Orientation()),
        ((0, 1, -1, 0), Orientation(transpose=True, flip_x=True)),
        ((-1, 0, 0, -1), Orientation(flip_x=True, flip_y=True)),
        ((0, -1, 1, 0), Orientation(transpose=True, flip_y=True)),
        ((-1, 0, 0, 1), Orientation(flip_x=True)),
        ((0, 1, 1, 0), Orientation(transpose=True)),
    ],
)
def test_orientation_moves_points_as_the_matrix_says(matrix: tuple[int, ...], expected: Orientation) -> None:
    a, b, c, d = matrix
    packed = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], "=i4").tobytes()
    orientation = from_display_matrix(packed)
    assert orientation == expected
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    upright = orientation.apply(stored)
    shown = {(a * x + c * y, b * x + d * y): int(stored[y, x, 0]) for y in range(2) for x in range(3)}
    left, top = min(x for x, _ in shown), min(y for _, y in shown)
    for (x, y), value in shown.items():
        assert upright[y - top, x - left, 0] == value
