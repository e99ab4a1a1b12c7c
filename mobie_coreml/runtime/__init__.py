"""Run components: Core ML on macOS, our own executor anywhere, PyTorch as the reference."""

from mobie_coreml.runtime.base import Precision, Runner, TensorInfo, open_runner

__all__ = ["Precision", "Runner", "TensorInfo", "open_runner"]
