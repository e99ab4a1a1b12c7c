"""Our own executor of Core ML ML Programs, on PyTorch's CPU kernels."""
