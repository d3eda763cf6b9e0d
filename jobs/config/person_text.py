"""Whether the text of a refused row names a person: by id, name, device or number, however it is written."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jobs.config.sources import ExtractMapping, field_expressions
from jobs.contracts.extracts import PERSON_FIELDS, ExtractContract
from jobs.expressions.nodes import Call, Literal, Node

# A word of an id: what goes on behind a hyphen or a point is another one.
_WORD = re.compile(r"[A-Za-z0-9_]+(?:[-.][A-Za-z0-9_]+)*")
_NOT_BEFORE, _NOT_AFTER = r"(?<![A-Za-z0-9_])(?<![A-Za-z0-9_][-.])", r"(?![A-Za-z0-9_])(?![-.][A-Za-z0-9_])"
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
# Shorter numbers may be amounts as well as ids.
_LONG_NUMBER = 8


def tombstone_of(name: str, value: str, key: bytes) -> str:
    """What is kept of an id of a person who was erased; see jobs.domain.privacy.tombstone.

    Args:
        name: What the id names, such as customer_id.
        value: The id.
        key: The secret key.
    """
    return hmac.new(key, f"erased:{name}:{value}".encode(), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True)
class Clear:
    """What a person is called by.

    Attributes:
        ids: Ids by field: customer_id, account_id, subscription_id.
        names: Names.
        devices: Device numbers.
        numbers: Phone numbers.
    """

    ids: Mapping[str, Collection[str]]
    names: Collection[str] = ()
    devices: Collection[str] = ()
    numbers: Collection[str] = ()

    def pattern(self) -> re.Pattern[str]:
        """What is looked for in any text."""
        words = {*self.devices, *(one for mine in self.ids.values() for one in mine)}
        parts = [re.escape(one) for one in sorted(words) if len(one) >= _LONG_NUMBER or not one.isdecimal()]
        found = [f"{_NOT_BEFORE}(?:{'|'.join(parts)}){_NOT_AFTER}"] if parts else []
        # People write numbers with the country's code or without, and in groups.
        bare = (re.sub(r"\D", "", one) for one in self.numbers)
        groups = {"[- ]?".join(re.sub(r"^(00)?86(?=1)", "", one)) for one in bare if one}
        if groups:
            number = rf"(?:(?:\+|00)?86[- ]?|\+)?(?:{'|'.join(sorted(groups))})"
            found.append(rf"(?<![A-Za-z0-9]){number}(?![A-Za-z0-9])")
        # A name is one only where no further letter stands beside it.
        if names := sorted(re.escape(one) for one in self.names if len(one) > 1):
            found.append(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)")
        return re.compile("|".join(found) or "(?!)")


@dataclass(frozen=True)
class PersonText:
    """Tells which refused rows name some persons.

    Attributes:
        pattern: What is looked for in every text.
        stones: Tombstones of ids.
        key: The secret key of these.
        built: By contract, the fields of ids with the texts that its mappings put before and after them.
    """

    pattern: re.Pattern[str]
    stones: frozenset[str]
    key: bytes = field(repr=False)
    built: Mapping[str, Collection[tuple[str, str, str]]] = field(default_factory=dict)

    def is_in(self, original: str, people: Collection[str] | None, contract: str) -> bool:
        """Whether a row names one of them.

        Args:
            original: Its text.
            people: Tombstones of the ids that it holds; none where it could not be read.
            contract: Its contract.
        """
        text = unescaped(original)
        if not self.stones.isdisjoint(people or ()) or self.pattern.search(text):
            return True
        # Whose a row is that could not be read any word of it may tell.
        return not people and not self.stones.isdisjoint(self._stones_in(text, contract))

    def _stones_in(self, text: str, contract: str) -> Iterator[str]:
        made = {*((name, "", "") for name in PERSON_FIELDS), *self.built.get(contract, ())}
        for word in set(_WORD.findall(text)):
            for name, before, after in made:
                yield tombstone_of(name, f"{before}{word}{after}", self.key)


def unescaped(text: str) -> str:
    r"""A text with the characters that JSON may write by their numbers.

    Example:
        >>> unescaped(r'{"name": "\u5f20\u4e09", "rare": "\ud842\udfb7"}')
        '{"name": "张三", "rare": "𠮷"}'
    """

    def read(match: re.Match[str]) -> str:
        units = bytes.fromhex(match[0].replace("\\u", ""))
        return units.decode("utf-16-be", errors="replace")

    return _ESCAPED.sub(read, text)


def built_ids(
    mappings: Iterable[ExtractMapping], contracts: Mapping[str, ExtractContract]
) -> dict[str, set[tuple[str, str, str]]]:
    """By contract, which ids the mappings make of a column, with the texts they put before and after it."""
    found: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for mapping in mappings:
        expressions = field_expressions(mapping, contracts[mapping.contract])
        for name in PERSON_FIELDS:
            if name in expressions and (around := _around(expressions[name])) is not None:
                found[mapping.contract].add((name, *around))
    return dict(found)


def _around(node: Node) -> tuple[str, str] | None:
    """The constant texts before and after the one part of a concat that is none."""
    if not isinstance(node, Call) or node.function != "concat":
        return None
    told = [str(one.value) if isinstance(one, Literal) else None for one in node.arguments]
    if told.count(None) != 1:
        return None
    at = told.index(None)
    return "".join(map(str, told[:at])), "".join(map(str, told[at + 1 :]))
