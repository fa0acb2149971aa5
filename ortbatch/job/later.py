"""Keys whose feature comes later: parsed and checked for their shape, then refused, never ignored.

When a feature arrives, delete its line from `LATER`, and mark its key in docs/job.md as available.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Later:
    """One thing that is not available yet.

    Args:
        key: the key it stands under, without names and indexes: `gates.slice`.
        applies: whether a value of that key, valid in shape, asks for the feature.
        what: how the message names the feature; the value is put in for `{value}`.
    """

    key: str
    applies: Callable[[Any], bool]
    what: str

    @property
    def whole_key(self) -> bool:
        """Whether the key can only ask for the feature, whatever its value."""
        return self.applies is _given


def _given(value: Any) -> bool:
    return value not in (None, (), {})


LATER = (Later("tracking", _given, "tracking"),)


def refuse_later(key: str, value: Any) -> None:
    """Refuse a value that asks for a feature of a later version.

    Raises:
        ValueError: it does.
    """
    for later in LATER:
        if later.key == key and later.applies(value):
            what = later.what.replace("{value}", str(value))
            raise ValueError(
                f"not available yet: {what}; this version refuses it rather than ignore it, so take it out"
            )
