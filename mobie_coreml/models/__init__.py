"""PyTorch reference networks and checkpoints."""
