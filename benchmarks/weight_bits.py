"""What each component's weights stand: every component at 16, 8, 6 and 4 bits, and with the shipped 6-bit recipe.

    python benchmarks/weight_bits.py [--checkpoint nano] [--clip CLIP] [--frames 2] [--json]

Converts the checkpoint once for every width and runs `mobie parity` on it: PSNR in dB of each package against PyTorch
(worst case), and of the edited frame. What does not reach its gate is marked with an asterisk; that is why the shipped
recipes give some components more than others. Sizes are those of the weight files.

Exit code 1 if the shipped recipe does not reach a gate.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

UNIFORM = (16, 8, 6, 4)
SHIPPED = "6bit"


def rows(checkpoint: str, clip: Path | None, frames: int, folder: Path) -> list[dict[str, Any]]:
    """One row a width: name, bytes, and by component PSNR in dB (None: equal) and whether the gate is reached."""
    from mobie_coreml.convert.model import convert_model
    from mobie_coreml.convert.options import ConvertOptions
    from mobie_coreml.manifest import COMPONENT_NAMES
    from mobie_coreml.models.checkpoint import load_checkpoint
    from mobie_coreml.parity.options import ParityOptions
    from mobie_coreml.parity.run import check_parity
    from palettization.recipe import Choice, Recipe, recipe_json

    opened, made = load_checkpoint(checkpoint), []
    for name in (*map(str, UNIFORM), SHIPPED):
        recipe = name
        if name != SHIPPED:
            recipe = str(folder / f"{name}.json")
            Path(recipe).write_text(recipe_json(dict.fromkeys(COMPONENT_NAMES, Recipe(Choice(int(name))))))
        converted = convert_model(opened, folder / name, ConvertOptions(recipe=recipe))
        report = check_parity(folder / name, checkpoint, ParityOptions(clip=clip, frames=frames))
        components = {
            worst.component: {"psnr_db": worst.comparison.as_dict()["psnr_db"], "passed": worst.passed}
            for worst in report.worst()
        }
        size = sum(info.weight_bytes for info in converted.manifest.components.values())
        made.append({"weights": name, "bytes": size, "components": components})
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--clip", type=Path, help="where frames come from; drawings otherwise")
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = rows(options.checkpoint, options.clip, options.frames, Path(folder))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        names = list(found[0]["components"])
        print("| weights | MB | " + " | ".join(names) + " |\n" + "| --- " * (len(names) + 2) + "|")
        for row in found:
            cells = [
                ("equal" if one["psnr_db"] is None else f"{one['psnr_db']:.1f}") + ("" if one["passed"] else "*")
                for one in row["components"].values()
            ]
            print(f"| {row['weights']} | {row['bytes'] / 1e6:.1f} | " + " | ".join(cells) + " |")
    return int(not all(one["passed"] for one in found[-1]["components"].values()))


if __name__ == "__main__":
    sys.exit(main())
