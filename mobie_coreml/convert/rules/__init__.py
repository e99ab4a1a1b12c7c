"""The table of lowering rules; importing this package fills it."""

import mobie_coreml.convert.rules.attention
import mobie_coreml.convert.rules.elementwise
import mobie_coreml.convert.rules.layers
import mobie_coreml.convert.rules.layout
import mobie_coreml.convert.rules.resample  # noqa: F401
