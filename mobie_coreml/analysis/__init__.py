"""What a model's components can spare: sensitivity to weight compression, and recipes made from it."""
