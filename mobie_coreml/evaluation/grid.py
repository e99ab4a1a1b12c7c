"""Tables of text, and their forms: terminal, Markdown, HTML."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Grid:
    """A titled table of text; the first column is a name, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float | None, digits: int, unit: str = "") -> str:
    """A figure, or "-" for none."""
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def rich_table(grid: Grid) -> Table:
    """The table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(title=grid.title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    for place, column in enumerate(grid.columns):
        # Headings are broken at every word, so that figures decide how wide their columns are.
        heading = column if place == 0 else column.replace(" ", "\n")
        table.add_column(heading, justify="left" if place == 0 else "right", overflow="fold")
    for row in grid.rows:
        table.add_row(*row)
    return table


def markdown_table(grid: Grid) -> list[str]:
    """Its lines, the title as a heading of the third level."""
    return [
        f"### {grid.title}",
        "",
        "| " + " | ".join(grid.columns) + " |",
        "| --- |" + " ---: |" * (len(grid.columns) - 1),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in grid.rows),
        "",
    ]


def html_table(grid: Grid) -> str:
    """Heading and table, the latter in a region that scrolls on narrow screens."""
    title = html.escape(grid.title)
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in grid.columns)
    rows = []
    for first, *others in grid.rows:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
        rows.append(f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>')
    return (
        f'<h3>{title}</h3><div class="scroll" role="region" tabindex="0" aria-label="{title}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
