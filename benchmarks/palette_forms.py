"""What the forms of iOS18 gain over one table a tensor, at equal bits a weight with tables and scales counted.

    python benchmarks/palette_forms.py PACKAGE [--every N] [--json]

PACKAGE is an fp16 package for iOS18 with trained weights (`mobie convert nano MODEL --target iOS18 --weight-bits 16`,
then its Denoiser.mlpackage). Every tensor, or every N-th by size, is coded in each form. A tensor's gain is its SNR
minus that of one table of numbers (1, 2, 3, 4, 6, 8 bits, interpolated) at as many bits a weight. Printed are the mean
gain, weighted by the number of weights, and the share of weights that lie in tensors that gain.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from palettization.clustering import BITS
from palettization.coded import Coded
from palettization.encode import code
from palettization.package import Package
from palettization.plan import Decision, decide
from palettization.recipe import Choice, Recipe
from palettization.report import palette_bytes
from palettization.stored import stored_weights

FORMS = {
    "16 channels a table": [Choice(bits, 16) for bits in (2, 3, 4)],
    "scaled channels": [Choice(bits, per_channel_scale=True) for bits in (2, 3, 4, 6)],
    "vectors of 2": [Choice(bits, cluster_dim=2) for bits in (4, 6, 8)],
    "vectors of 4": [Choice(bits, cluster_dim=4) for bits in (6, 8)],
}


def rate_and_snr(decision: Decision, coded: Coded) -> tuple[float, float]:
    """Bits a weight, tables included, and SNR in dB."""
    elements = decision.weight.elements
    size = palette_bytes(elements, coded.bits, 0, cluster_dim=coded.vector) + coded.table_bytes
    return 8 * size / elements, 10 * math.log10(coded.energy / coded.squared_error)


def measure(package: Package, every: int) -> list[dict[str, Any]]:
    """Gains of every form and width."""
    weights = stored_weights(package)
    chosen = [item for item in decide(weights, Recipe(Choice(6)), str(package.path)) if item.choice]
    chosen.sort(key=lambda item: -item.weight.elements)
    gains: dict[tuple[str, int], list[tuple[int, float, float]]] = defaultdict(list)
    for done, item in enumerate(chosen[::every]):
        print(f"{done + 1} of {len(chosen[::every])}: {item.weight.name}", file=sys.stderr)

        def coded(choice: Choice, item: Decision = item) -> tuple[float, float] | None:
            channels = item.weight.shape[item.group_axis]
            if channels % choice.cluster_dim or (choice.group_size and channels % choice.group_size):
                return None
            decision = Decision(item.weight, choice, group_axis=item.group_axis)
            return rate_and_snr(decision, code(package, decision))

        numbers = [found for found in map(coded, map(Choice, BITS)) if found]
        for form, choices in FORMS.items():
            for choice in choices:
                if found := coded(choice):
                    gain = found[1] - float(np.interp(found[0], *zip(*numbers, strict=True)))
                    gains[form, choice.bits].append((item.weight.elements, found[0], gain))
    rows = []
    for (form, bits), found in gains.items():
        elements, rate, gain = np.array(found).T
        rows.append(
            {
                "form": form,
                "bits": bits,
                "bits_per_weight": float(rate @ elements / elements.sum()),
                "gain_db": float(gain @ elements / elements.sum()),
                "share_gaining": float(elements[gain > 0].sum() / elements.sum()),
                "tensors": len(found),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--every", type=int, default=1, help="code every N-th tensor only")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    with Package.open(options.package) as package:
        rows = measure(package, options.every)
    if options.json:
        print(json.dumps({"numpy": metadata.version("numpy"), "rows": rows}, indent=2))
        return
    print("| form | bits of an index | bits a weight | gain | weights that gain |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['form']} | {row['bits']} | {row['bits_per_weight']:.2f} | {row['gain_db']:+.2f} dB "
            f"| {row['share_gaining']:.0%} |"
        )


if __name__ == "__main__":
    main()
