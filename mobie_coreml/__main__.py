"""`python -m mobie_coreml` is `mobie`."""

from mobie_coreml.cli.main import entry

entry()
