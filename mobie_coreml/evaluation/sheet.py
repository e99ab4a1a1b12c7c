"""Contact sheets: one row an instruction, columns source, truth and every model's result."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.frames import Pixels
from mobie_coreml.evaluation.pairs import Pair

_BAR = 18
_BACKGROUND, _INK = (24, 24, 24), (235, 235, 235)


@dataclass
class SheetRow:
    """An instruction's pair, its truth and results, (H, W, 3) uint8 each."""

    pair: Pair
    truth: Pixels
    results: list[Pixels] = field(default_factory=list)

    @property
    def source(self) -> Pixels:
        """The unedited frame."""
        return self.pair.frame.pixels


class SheetRows:
    """Keeps the first pair of every instruction from one source; hand `keep` to `evaluate_model` for every model.

    Args:
        source: The source to show, None for the one that comes first.
    """

    def __init__(self, source: str | None = None) -> None:
        self._source = source
        self._rows: dict[str, SheetRow] = {}

    def keep(self, pair: Pair, truth: Pixels, result: Pixels) -> None:
        """Takes one result, if the sheet shows this pair."""
        self._source = self._source or pair.frame.source
        if pair.frame.source == self._source:
            row = self._rows.setdefault(pair.edit.name, SheetRow(pair, truth))
            if row.pair is pair:
                row.results.append(result)

    @property
    def rows(self) -> list[SheetRow]:
        """What was kept, in the order it came."""
        return list(self._rows.values())


def contact_sheet(rows: Sequence[SheetRow], labels: Sequence[str], across: int = 1) -> Image.Image:
    """Draws the sheet.

    Args:
        rows: At least one; frames of one size.
        labels: One a result: the models' names.
        across: Instructions next to each other, for sheets that would be too tall.

    Raises:
        InputError: there is no row, or a row has another number of results.
    """
    if not rows:
        raise InputError("There is nothing to show on a contact sheet.", "Choose a source that has pairs.")
    if any(len(row.results) != len(labels) for row in rows):
        raise InputError(f"Every row of a contact sheet needs {len(labels)} results.")
    height, width = rows[0].source.shape[:2]
    columns = ("source", "truth", *labels)
    block = width * len(columns)
    down = -(-len(rows) // across)
    sheet = Image.new("RGB", (block * across, _BAR + (height + _BAR) * down), _BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place in range(across):
        for number, name in enumerate(columns):
            draw.text((place * block + number * width + 4, 2), name, fill=_INK, font=font)
    for number, row in enumerate(rows):
        left, top = block * (number % across), _BAR + (height + _BAR) * (number // across)
        for column, pixels in enumerate((row.source, row.truth, *row.results)):
            sheet.paste(Image.fromarray(pixels), (left + column * width, top))
        draw.text((left + 4, top + height + 2), row.pair.phrase, fill=_INK, font=font)
    return sheet


def png(sheet: Image.Image) -> bytes:
    """The sheet as the bytes of a PNG file."""
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
