"""Real inputs for every component: those that a reference edit gives them, kept as it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mobie_coreml.editing.backend import Array, ComponentBackend

T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """One run of a component in a reference edit: what it was given and what it answered."""

    case: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]


class RecordingBackend:
    """Passes every run on to another backend and keeps it under the case that is set at that moment."""

    def __init__(self, backend: ComponentBackend) -> None:
        self.case = ""
        self.records: dict[str, list[Record]] = {}
        self._backend = backend

    def inputs(self, component: str) -> tuple[str, ...]:
        """Names of the component's inputs."""
        return self._backend.inputs(component)

    def run(self, component: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The component's outputs, kept."""
        outputs = self._backend.run(component, inputs)
        made = self.records.setdefault(component, [])
        count = sum(record.case.split(", run ")[0] == self.case for record in made)
        made.append(Record(f"{self.case}, run {count + 1}" if count else self.case, dict(inputs), outputs))
        return outputs

    def release(self, component: str) -> None:
        """Frees the component's weights."""
        self._backend.release(component)


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of `items`, the first and the last among them, the others evenly between."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
