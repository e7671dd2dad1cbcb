"""What stands in the `setting` of a row: `key=value` pairs joined by semicolons."""

import math

__all__ = ["setting_number", "setting_text"]


def setting_number(setting: str, key: str) -> float:
    """Number behind `key=` in a `setting` cell; NaN where it is not there.

    >>> setting_number("l2=0.01;mod_freq_hz=4", "mod_freq_hz")
    4.0
    """
    for pair in setting.split(";"):
        name, _, value = pair.partition("=")
        if name == key:
            return float(value)
    return math.nan


def setting_text(setting: str, key: str) -> str:
    """Text behind `key=` in a `setting` cell; empty if it is not there."""
    pairs = dict(pair.partition("=")[::2] for pair in setting.split(";"))
    return pairs.get(key, "")
