"""coremltools' protobuf classes without importing coremltools.

`import coremltools` takes seconds and prints warnings on machines without its native runtime, none of which reading a
package needs. Its generated protobuf modules depend on nothing but protobuf, so they are loaded as a package of their
own from coremltools' folder. The protobuf runtime keeps one descriptor pool and one class per descriptor: a later (or
earlier) `import coremltools` in the same process gets the same classes, and messages can be passed both ways.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from palettization.package.errors import SpecError

_ALIAS = "palettization.package._coremltools_proto"
_NEEDED = ("Model_pb2", "MIL_pb2", "FeatureTypes_pb2")
_lock = threading.Lock()


def proto() -> Any:
    """coremltools' `proto` package: `proto().Model_pb2`, `.MIL_pb2`, `.FeatureTypes_pb2` and the rest.

    Costs about 40 ms on the first call and nothing afterwards.

    Raises:
        SpecError: coremltools is not installed or has no protobuf modules where they are expected.
    """
    loaded = sys.modules.get("coremltools.proto") or sys.modules.get(_ALIAS)
    if loaded is not None and all(hasattr(loaded, name) for name in _NEEDED):
        return loaded
    with _lock:
        alias = sys.modules.get(_ALIAS)
        return alias if alias is not None else _load()


def _load() -> ModuleType:
    found = importlib.util.find_spec("coremltools")
    if found is None or found.origin is None:
        raise SpecError("coremltools is not installed.", "Install it: pip install coremltools.")
    folder = Path(found.origin).parent / "proto"
    initial = folder / "__init__.py"
    if not initial.is_file():
        raise SpecError(f"{folder} holds no protobuf modules.", "Reinstall coremltools: version 9 is known to work.")
    spec = importlib.util.spec_from_file_location(_ALIAS, initial, submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise SpecError(f"{initial} cannot be loaded.", "Reinstall coremltools: version 9 is known to work.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_ALIAS] = module
    try:
        spec.loader.exec_module(module)
        for name in _NEEDED:
            importlib.import_module(f"{_ALIAS}.{name}")
    except BaseException:
        for name in [name for name in sys.modules if name == _ALIAS or name.startswith(f"{_ALIAS}.")]:
            del sys.modules[name]
        raise
    return module
