"""What a checkpoint's files say of its ancestors, whatever they say."""

from types import SimpleNamespace
from typing import Any

import pytest

from mobie_coreml.training.lineage import lineage


@pytest.mark.parametrize("written", ["nano", {"kind": "trained"}, ["nano", None, 1], []])
def test_ancestors_that_are_no_records_are_left_out(written: Any) -> None:
    first = {"kind": "trained", "steps": 3}
    told = {"kind": "imported", "lineage": [*written, first] if isinstance(written, list) else written}
    checkpoint: Any = SimpleNamespace(info={"provenance": told}, digest="0" * 64)
    own = {"kind": "imported", "sha256": "0" * 64}
    assert lineage(checkpoint) == ([first, own] if isinstance(written, list) else [own])
    assert lineage(None, checkpoint, checkpoint) == lineage(checkpoint)
