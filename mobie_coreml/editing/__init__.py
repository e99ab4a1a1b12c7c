"""Video and images in, the five components, video and images out.

`edit_clip` is the whole way from file names to files; `Editor` edits frames in memory; `geometry` and `resample` state
how a frame is placed in a model's frame, exactly.
"""
