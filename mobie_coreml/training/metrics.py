"""What a run reports about itself: one JSON object a line, and the curve drawn from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mobie_coreml.files import atomic_file


class MetricsLog:
    """`metrics.jsonl`: appended to while a run goes on; resuming drops the lines past the state it resumes from."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Adds one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All whole records; a line cut short by a crash is dropped."""
        records = []
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    records.append(json.loads(line))
                except json.JSONDecodeError:
                    continue
        return records

    def truncate(self, step: int) -> None:
        """Keeps the records up to and including `step`."""
        kept = [record for record in self.read() if record["step"] <= step]
        with atomic_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def draw_curve(records: list[dict[str, Any]], path: Path, title: str) -> None:
    """Draws every metric of `records` over the steps, one panel each, to a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    skipped = {"step", "seconds"}
    names = list(dict.fromkeys(name for record in records for name in record if name not in skipped))
    if not names:
        return
    figure, axes = pyplot.subplots(len(names), 1, figsize=(8, 2.2 * len(names)), sharex=True, squeeze=False)
    for axis, name in zip(axes[:, 0], names, strict=True):
        points = [(record["step"], record[name]) for record in records if name in record]
        axis.plot(*zip(*points, strict=True), linewidth=1, marker="." if len(points) < 40 else "")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
        if name.startswith("loss") and all(value > 0 for _, value in points):
            axis.set_yscale("log")
    axes[0, 0].set_title(title)
    axes[-1, 0].set_xlabel("step")
    figure.tight_layout()
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)
