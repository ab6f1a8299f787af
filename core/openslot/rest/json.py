"""JSON in and out: as fast as what is installed allows, and the same whichever that is.

With the `fast` extra msgspec does the work, else the standard library. Either way NaN, infinities,
numbers too large for a double, invalid UTF-8 and nesting deeper than `MAX_DEPTH` are refused.
"""

from __future__ import annotations
