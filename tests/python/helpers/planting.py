"""Plants one fault in a package, of a given size, and finds the size that costs a wanted number of dB."""

from __future__ import annotations

import math
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobie_coreml.metrics import psnr
from mobie_coreml.runtime.mil.program import MilProgram
from palettization.package import Package, immediate_array, immediate_value, write_package

WEIGHTS = ("weight", "gamma")
BIASES = ("bias", "beta")
KINDS = ("weight", "bias", "attribute", "input")


@dataclass(frozen=True)
class Place:
    """Where a fault goes: the first output of the operation, the kind of fault, the input that it changes."""

    value: str
    kind: str
    input_name: str


def read(package: Package, constants: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
    return package.constant(constants[name].attributes["val"], name)


class Planter:
    """Makes faulty copies of a package.

    Args:
        path: The sound package.
        inputs: What it is run on.
        scratch: A folder for the copies.
    """

    def __init__(self, path: Path, inputs: dict[str, np.ndarray[Any, Any]], scratch: Path) -> None:
        self.path, self.inputs, self.scratch = path, inputs, scratch
        self.package = Package.open(path)
        self.sound = MilProgram.load(self.package)
        self.right = self._outputs(self.sound)
        self.operations = list(self.package.function().block.operations)
        self.types = {out.name: str(out.type) for op in self.operations for out in op.outputs}
        self.constants = {op.outputs[0].name: op for op in self.operations if op.type == "const"}

    def _outputs(self, program: MilProgram) -> np.ndarray[Any, Any]:
        (output,) = program.run(self.inputs).values()
        return output

    def places(self, kind: str) -> list[Place]:
        """Every place for a fault of `kind`."""
        made = [op for op in self.operations if op.type != "const"]
        shapes: dict[str, list[str]] = {}
        found = []
        for op in made:
            for name, argument in op.inputs.items():
                reads = [item.name for item in argument.arguments]
                if len(reads) != 1:
                    continue
                constant = reads[0] in self.constants
                if kind in ("weight", "bias") and name in (WEIGHTS if kind == "weight" else BIASES) and constant:
                    found.append(Place(op.outputs[0].name, kind, name))
                elif kind == "attribute" and constant and op.type in ("mul", "add", "layer_norm"):
                    value = read(self.package, self.constants, reads[0])
                    if value.size == 1 and np.issubdtype(value.dtype, np.floating) and value.reshape(-1)[0] != 0:
                        found.append(Place(op.outputs[0].name, kind, name))
                elif (
                    kind == "input" and not constant and shapes.get(self._shape_of(reads[0]), [reads[0]]) != [reads[0]]
                ):
                    found.append(Place(op.outputs[0].name, kind, name))
            for output in op.outputs:
                shapes.setdefault(self._shape_of(output.name), []).append(output.name)
        return found

    def _shape_of(self, value: str) -> str:
        return self.types.get(value, value)

    def plant(self, place: Place, size: float, choice: random.Random) -> MilProgram:
        """The program with a fault of relative `size` at `place`; its package is written and read back."""
        spec = type(self.package.spec)()
        spec.CopyFrom(self.package.spec)
        function = next(iter(spec.mlProgram.functions.values()))
        block = function.block_specializations[function.opset]
        index, op = next(
            (i, op) for i, op in enumerate(block.operations) if op.outputs and op.outputs[0].name == place.value
        )
        argument = op.inputs[place.input_name].arguments[0]
        blob = self.path / "Data/com.apple.CoreML/weights/weight.bin"
        copy = self.scratch / "weight.bin"
        shutil.copyfile(blob, copy)
        if place.kind == "input":
            same = [name for name in self._before(place.value) if self._shape_of(name) == self._shape_of(argument.name)]
            other = choice.choice([name for name in same if name != argument.name])
            argument.name = self._blend(block, index, argument.name, other, size)
        else:
            constant = self.constants[argument.name]
            value = constant.attributes["val"]
            array = np.array(self.package.constant(value, argument.name), np.float32)
            moved = (
                array + size * max(float(np.abs(array).mean()), 1e-3) if place.kind == "bias" else array * (1 + size)
            )
            with np.errstate(over="ignore"):  # too large a fault gives what is not a number, and is made smaller
                faulty = moved.astype(np.float16)
            if value.WhichOneof("value") == "blobFileValue":
                record, _ = self.package.record(value, argument.name)
                with copy.open("r+b") as file:
                    file.seek(record.data_offset)
                    file.write(faulty.tobytes())
            else:
                argument.name = self._constant(block, index, faulty, value)
        out = self.scratch / "faulty.mlpackage"
        write_package(out, spec, copy, force=True)
        return MilProgram.load(out)

    def _before(self, value: str) -> list[str]:
        """Values computed before the operation that makes `value`."""
        names: list[str] = []
        for op in self.operations:
            if op.outputs and op.outputs[0].name == value:
                return names
            if op.type != "const":
                names += [output.name for output in op.outputs]
        return names

    def _constant(self, block: Any, index: int, array: np.ndarray[Any, Any], like: Any) -> str:
        """Inserts a constant of its own before operation `index`."""
        op = type(block.operations[0])(type="const")
        element = str(immediate_array(like).dtype)
        value = immediate_value(array.astype(element))
        name = f"planted_{index}_{len(block.operations)}"
        op.outputs.add(name=name).type.CopyFrom(value.type)
        op.attributes["val"].CopyFrom(value)
        op.attributes["name"].CopyFrom(immediate_value(name))
        block.operations.insert(index, op)
        return name

    def _blend(self, block: Any, index: int, right: str, wrong: str, size: float) -> str:
        """Inserts right + size * (wrong - right) before operation `index`."""
        like = next(out for op in block.operations for out in op.outputs if out.name == right)
        factor = self._constant(block, index, np.asarray(size, np.float16), immediate_value(np.asarray(1, np.float16)))
        steps = (("sub", wrong, right), ("mul", "planted_sub", factor), ("add", right, "planted_mul"))
        for offset, (kind, x, y) in enumerate(steps):
            op = type(block.operations[0])(type=kind)
            op.inputs["x"].arguments.add(name=x)
            op.inputs["y"].arguments.add(name=y)
            op.outputs.add(name=f"planted_{kind}").type.CopyFrom(like.type)
            op.attributes["name"].CopyFrom(immediate_value(f"planted_{kind}"))
            block.operations.insert(index + 1 + offset, op)
        return "planted_add"

    def plant_sized(self, place: Place, gate: float, choice: random.Random) -> MilProgram | None:
        """The program with a fault that brings the output 1 to 6 dB below `gate`; None where no size does."""
        wanted, size, state = gate - 3.5, 0.05, choice.getstate()
        for _ in range(10):
            choice.setstate(state)
            try:
                program = self.plant(place, size, choice)
                found = psnr(self.right, self._outputs(program))
            except OverflowError:
                return None
            if gate - 6 <= found <= gate - 1:
                return program
            if found == math.inf:
                size *= 100
            elif found == -math.inf:
                size /= 4
            else:
                size *= 10 ** ((found - wanted) / 20)
            # An epsilon of 1e-5 is felt when it is a thousandth of a variance, and more.
            if not 1e-4 < abs(size) < 1e6:
                return None
        return None
