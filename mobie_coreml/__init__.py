"""mobie: put text-guided video editing on an iPhone."""

__version__ = "0.1.0"
