"""coremltools' messages without coremltools, and together with it in either order."""

from __future__ import annotations

import subprocess
import sys

import pytest

# coremltools imports torch and others if they are there, which takes seconds and is not the matter here.
_WITHOUT_FRAMEWORKS = """
import sys
for name in ("torch", "sklearn", "scipy", "transformers", "tensorflow", "xgboost"):
    sys.modules[name] = None
"""
_OURS_FIRST = """
from palettization.package import proto
early = proto()
value = early.MIL_pb2.Value(); value.blobFileValue.offset = 64
assert "coremltools" not in sys.modules
import coremltools
"""
_THEIRS_FIRST = """
import coremltools
from palettization.package import proto
early = proto()
assert early is coremltools.proto
value = early.MIL_pb2.Value(); value.blobFileValue.offset = 64
"""
_EXCHANGE = """
theirs = coremltools.proto.MIL_pb2.Value()
theirs.ParseFromString(value.SerializeToString())
assert theirs.blobFileValue.offset == 64
back = early.MIL_pb2.Value()
back.ParseFromString(theirs.SerializeToString())
assert back == value
theirs.CopyFrom(value)
assert proto().Model_pb2.Model is not None and coremltools.proto.Model_pb2.Model().WhichOneof("Type") is None
from coremltools.converters.mil import Builder
print("exchanged")
"""


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("order", [_OURS_FIRST, _THEIRS_FIRST])
def test_messages_can_be_exchanged_whichever_is_imported_first(order: str) -> None:
    assert _python(_WITHOUT_FRAMEWORKS + order + _EXCHANGE) == "exchanged"


def test_reading_imports_nothing_heavy_and_quickly() -> None:
    code = """
import sys, time
import numpy, google.protobuf
start = time.process_time()
import palettization.package
palettization.package.proto()
print(time.process_time() - start)
heavy = {"coremltools", "torch", "mobie_coreml", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    assert min(float(_python(code)) for _ in range(3)) < 0.3


def test_threads_load_once() -> None:
    code = """
import threading
from palettization.package import proto
found = []
threads = [threading.Thread(target=lambda: found.append(proto().Model_pb2.Model)) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(found) == 8 and len(set(map(id, found))) == 1
print("once")
"""
    assert _python(code) == "once"
