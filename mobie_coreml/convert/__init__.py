"""Checkpoints to Core ML: an own lowering from traced PyTorch modules to ML Program packages.

`convert_model` (in `.model`) makes a model folder; `convert_component` (in `.component`) makes one package.
"""
