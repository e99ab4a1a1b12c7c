"""Sampling at computed positions: crops, grids, affine maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.ops_resize import SAMPLING_MODES, grid
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor

IOS17 = 7
_BOX_MODES = ("CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST")


@operation("resample", takes="x coordinates", moves=False)
def resample(node: Node) -> Kernel:
    """x (N, C, H, W) at coordinates (N, H2, W2, 2), each (x, y)."""
    nearest = node.text("sampling_mode", "bilinear").lower() == "nearest"
    padding = node.text("padding_mode", "constant", ("constant", "border", "reflection", "symmetric"))
    value = node.number("padding_value", 0.0)
    system = node.text("coordinates_mode", "normalized_minus_one_to_one")
    aligned = node.flag("align_corners", True)

    def run(x: Tensor, coordinates: Tensor) -> Tensor:
        if x.dim() != 4 or coordinates.dim() != 4:
            raise ProgramError(f"it needs rank 4, not {x.dim()} and {coordinates.dim()}")
        check_elements((x.shape[0], x.shape[1], *coordinates.shape[1:3]))
        size = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32)
        points = coordinates.float()
        if system != "unnormalized":
            unit = points if system == "normalized_zero_to_one" else (points + 1) / 2
            points = unit * (size - 1) if aligned else unit * size - 0.5
        return _sample(x, points, size, "nearest" if nearest else "bilinear", padding, value)

    return run


def _sample(x: Tensor, points: Tensor, size: Tensor, mode: str, padding: str, value: float) -> Tensor:
    """Samples at pixel positions; torch wants them in -1..1, and picks the axis of reflection by `align_corners`."""
    between = padding == "reflection"
    normal = 2 * points / (size - 1).clamp(min=1) - 1 if between else (2 * points + 1) / size - 1
    how = {"constant": "zeros", "border": "border"}.get(padding, "reflection")
    shifted = x - value if padding == "constant" and value else x
    result = F.grid_sample(shifted, normal, mode=mode, padding_mode=how, align_corners=between)
    return result + value if padding == "constant" and value else result


@operation("affine", takes="x transform_matrix")
def affine(node: Node) -> Kernel:
    """Output pixel (x, y), both in -1..1 between corner centres, is taken from (a0 x + a1 y + a2, b0 x + b1 y + b2)."""
    height, width = node.integer("output_height"), node.integer("output_width")
    if node.number("padding_value", 0.0) != 0 or not node.flag("align_corners", True):
        raise ProgramError("padding other than 0 or unaligned corners are undefined for affine")

    def run(x: Tensor, matrix: Tensor) -> Tensor:
        check_elements((x.shape[0], x.shape[1], height, width))
        theta = matrix.reshape(-1, 2, 3).expand(x.shape[0], 2, 3)
        points = F.affine_grid(theta, [x.shape[0], x.shape[1], height, width], align_corners=True)
        return F.grid_sample(x, points, align_corners=True)

    return run


@operation("crop_resize", takes="x roi? boxes? box_indices?")
def crop_resize(node: Node) -> Kernel:
    """Crops x (B, C, H, W) to N boxes and resizes each crop bilinearly.

    Up to iOS 16 boxes are `roi` (N, 1, 4 or 5, 1, 1), with the image's index first where there are five numbers, and
    the result is (N, B or 1, C, h, w). Since iOS 17 they are `boxes` (N, 4) with `box_indices` (N,), and the result is
    (N, C, h, w).
    """
    size = node.integer("target_height", 1), node.integer("target_width", 1)
    normalized = node.flag("normalized_coordinates", False)
    scale = node.number("spatial_scale", 1.0)
    order = node.text("box_coordinate_mode", _BOX_MODES[0], _BOX_MODES)
    mode = node.text("sampling_mode", "DEFAULT", SAMPLING_MODES)
    value = node.number("pad_value", 0.0)

    def positions(box: Tensor, x: Tensor) -> list[Tensor]:
        """Sampling rows and columns of one box of four numbers."""
        first, second = box[:2].double(), box[2:].double()
        if order.endswith("WIDTH_FIRST"):
            first, second = first.flip(0), second.flip(0)
        if order.startswith("CENTER"):
            first, second = first - second / 2, first + second / 2
        points = []
        for axis in range(2):
            factor = (x.shape[2 + axis] - 1 if normalized else 1) * scale
            start, end = first[axis] * factor, second[axis] * factor
            points.append(start + grid(end - start + 1, size[axis], mode))
        return points

    def crop(image: Tensor, box: Tensor) -> Tensor:
        rows, columns = positions(box, image)
        return _bilinear(image, rows, columns, value)

    def run(x: Tensor, roi: Tensor | None, boxes: Tensor | None, indices: Tensor | None) -> Tensor:
        if boxes is not None:
            check_elements((boxes.shape[0], x.shape[1], *size))
            places = range(boxes.shape[0]) if indices is None else [int(place) for place in indices]
            crops = [crop(_image(x, place), box)[0] for place, box in zip(places, boxes, strict=True)]
            return torch.stack(crops) if crops else x.new_zeros((0, x.shape[1], *size))
        if roi is None:
            raise ProgramError("its boxes are missing")
        regions = roi.reshape(roi.shape[0], -1)
        check_elements((regions.shape[0], *x.shape[:2], *size))
        if regions.shape[1] == 5:
            return torch.stack([crop(_image(x, int(region[0])), region[1:]) for region in regions])
        return torch.stack([crop(x, region) for region in regions])

    return run


def _image(x: Tensor, place: int) -> Tensor:
    if not 0 <= place < x.shape[0]:
        raise ProgramError(f"a box belongs to image {place} of {x.shape[0]}")
    return x[place : place + 1]


def _bilinear(image: Tensor, rows: Tensor, columns: Tensor, outside: float) -> Tensor:
    """image (B, C, H, W) at the crossings of rows and columns; points outside the image get `outside`."""
    inside = []
    for axis, points in ((2, rows), (3, columns)):
        last = image.shape[axis] - 1
        inside.append((points >= 0) & (points <= last))
        limited = points.clamp(0, last)
        low = limited.floor().long()
        share = (limited - low).float().reshape([-1, 1] if axis == 2 else [-1])
        image = torch.lerp(image.index_select(axis, low), image.index_select(axis, (low + 1).clamp(max=last)), share)
    return torch.where(inside[0].unsqueeze(1) & inside[1], image, torch.tensor(outside))
