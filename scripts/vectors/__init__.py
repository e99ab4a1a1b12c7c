"""What `make_vectors.py` makes, one module a part; each has `make()`, which yields paths and their contents."""

from __future__ import annotations

import json
from typing import Any


def json_lists(parts: dict[str, list[Any]]) -> bytes:
    """A JSON object of lists, an item a line."""
    lists = [f'"{name}": [\n' + ",\n".join(json.dumps(item) for item in items) + "\n]" for name, items in parts.items()]
    return ("{" + ",\n".join(lists) + "}\n").encode()
