"""Ids and fingerprints: hashes of length-prefixed parts, and of canonical JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def hash_of(*parts: str) -> str:
    """A stable 32-character id; each part is prefixed by its length, so ("a", "bc") is not ("ab", "c").

    Example:
        >>> hash_of("a", "bc") == hash_of("ab", "c")
        False
        >>> len(hash_of("rule", "S1", "2026-05-31"))
        32
    """
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8")).hexdigest()[:32]


def fingerprint(data: Any) -> str:
    """SHA-256 of canonical JSON: the order of keys does not matter.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
