"""Whether the text of a refused row names a person: by id, name, device or number, however it is written."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from jobs.config.sources import ExtractMapping, field_expressions
from jobs.contracts.extracts import PERSON_FIELDS, ExtractContract
from jobs.expressions.nodes import Call, Literal, Node

# A word of an id: what goes on behind a hyphen or a point is another one.
_WORD = re.compile(r"[A-Za-z0-9_]+(?:[-.][A-Za-z0-9_]+)*")
_NOT_BEFORE, _NOT_AFTER = r"(?<![A-Za-z0-9_])(?<![A-Za-z0-9_][-.])", r"(?![A-Za-z0-9_])(?![-.][A-Za-z0-9_])"
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
# Bytes that are no text are kept by their numbers.
_BYTES = re.compile(r"(?:\\x[0-9a-f]{2})+")
# As programs pad a number.
_PADDED = re.compile(r"^0+(?=\d)|\.0+$")
# What people put between the digits of a number, and before it.
_BETWEEN = r"[-._/ ()·–—]{0,3}"
# Letters, digits and signs of double or half width, and the dots that stand inside names.
_ALIKE = {
    code: unicodedata.normalize("NFKC", chr(code))
    for code in (0x3000, *range(0xFF00, 0xFFF0))
    if unicodedata.decomposition(chr(code)).startswith(("<wide>", "<narrow>"))
} | dict.fromkeys(map(ord, "•‧∙・･"), "·")
# Writing without gaps between words.
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_CODE = rf"(?:(?:\+|00)?\(?86{_BETWEEN}|\+)"
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
        ids = {_plain(one) for mine in self.ids.values() for one in mine}
        words = {
            one
            for one in ids | {*map(_plain, self.devices)}
            if len(one) >= _LONG_NUMBER or not one.isdecimal()
        }
        short = [one for one in self._digits() if len(one) < _LONG_NUMBER]
        long = [
            *self._spaced(set(self._digits()) - set(short)),
            *self._spaced(filter(str.isdecimal, self.devices)),
        ]
        parts = [
            (words, f"{_NOT_BEFORE}{_any_of(map(re.escape, words))}{_NOT_AFTER}"),
            (short, f"(?<![A-Za-z0-9]){_CODE}?{_any_of(short)}(?![A-Za-z0-9])"),
            # Whatever stands before and after so many digits, if it is no further digit.
            (long, rf"(?<!\d)(?:{_CODE}|0)?{_any_of(long)}(?!\d)"),
            (self._names(), _any_of(self._names())),
        ]
        return re.compile("|".join(one for told, one in parts if told) or "(?!)")

    def packed(self, built: Iterable[tuple[str, str, str]]) -> re.Pattern[str]:
        """What is looked for in a text of columns that nothing parts.

        Args:
            built: Fields of ids with the texts that mappings put before and after them.
        """
        found = {*map(_plain, self.devices)}
        for name, before, after in {*((name, "", "") for name in PERSON_FIELDS), *built}:
            found |= {
                _plain(one[len(before) : len(one) - len(after)])
                for one in self.ids.get(name, ())
                if one.startswith(before) and one.endswith(after)
            }
        words = [*map(re.escape, found - {""}), *self._spaced(self._digits()), *self._names()]
        return re.compile(_any_of(words) if words else "(?!)")

    def _digits(self) -> list[str]:
        """The numbers without the country's code."""
        bare = {re.sub(r"^(00)?86(?=1)", "", re.sub(r"\D", "", one)) for one in self.numbers}
        return sorted(bare - {""})

    @staticmethod
    def _spaced(numbers: Iterable[str]) -> list[str]:
        """Patterns of numbers as people write them, in groups or not."""
        return [_BETWEEN.join(one) for one in numbers]

    def _names(self) -> list[str]:
        """Patterns of names, in capitals or not; Chinese ones stand in sentences with nothing around them."""
        found = []
        for one in map(_plain, self.names):
            words = r"[\s,]+".join(map(re.escape, one.split()))
            if len(one) > 1 and _WIDE.search(one):
                found.append(rf"(?i:{words})")
            elif len(one) > 1:
                found.append(rf"(?i:(?<!\w){words}(?!\w))")
        return found


def _any_of(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(sorted(patterns))})"


@dataclass(frozen=True)
class PersonText:
    """Tells which refused rows name some persons.

    Attributes:
        pattern: What is looked for in every text.
        stones: Tombstones of ids.
        key: The secret key of these.
        built: By contract, the fields of ids with the texts that its mappings put before and after them.
        packed: By contract whose files have columns of fixed width, with nothing between them, what is looked
            for in rows that cannot be cut into these.
    """

    pattern: re.Pattern[str]
    stones: frozenset[str]
    key: bytes = field(repr=False)
    built: Mapping[str, Collection[tuple[str, str, str]]] = field(default_factory=dict)
    packed: Mapping[str, re.Pattern[str]] = field(default_factory=dict)

    def is_in(self, original: str, ids: Mapping[str, str] | None) -> bool:
        """Whether a row surely names one of them.

        Args:
            original: Its text.
            ids: The ids that it holds, by field; none where it could not be read.
        """
        owner = owner_of(ids or {})
        if owner is not None and tombstone_of(*owner, self.key) in self.stones:
            return True
        return self.pattern.search(unescaped(original)) is not None

    def may_be_in(self, original: str, contract: str) -> bool:
        """Whether any word of a row is one of their ids, which tells only where nobody knows whose it is.

        Args:
            original: Its text.
            contract: Its contract.
        """
        text, loose = unescaped(original), self.packed.get(contract)
        if loose is not None and loose.search(text):
            return True
        made = {*((name, "", "") for name in PERSON_FIELDS), *self.built.get(contract, ())}
        words = {word for found in _WORD.findall(text) for word in (found, _PADDED.sub("", found))}
        return any(
            tombstone_of(name, f"{before}{word}{after}", self.key) in self.stones
            for word in words
            for name, before, after in made
        )


def owner_of(ids: Mapping[str, str | None]) -> tuple[str, str] | None:
    """The id that tells whose a row is: the customer's, else the subscription's, else the account's.

    Example:
        >>> owner_of({"customer_id": None, "account_id": "A1", "subscription_id": "S1"})
        ('subscription_id', 'S1')
    """
    for name in PERSON_FIELDS:
        if value := (ids.get(name) or "").strip():
            return name, value
    return None


def unescaped(text: str) -> str:
    r"""A text with the characters that JSON may write by their numbers, and without bytes that are none.

    Letters and digits of double width, as Chinese keyboards write them, are plain ones.

    Example:
        >>> unescaped(r'{"name": "\u5f20\u4e09", "rare": "\ud842\udfb7"}')
        '{"name": "张三", "rare": "𠮷"}'
        >>> unescaped("１３８-Ａ")
        '138-A'
    """

    def read(match: re.Match[str]) -> str:
        units = bytes.fromhex(match[0].replace("\\u", ""))
        return units.decode("utf-16-be", errors="replace")

    return _plain(_ESCAPED.sub(read, _BYTES.sub(" ", text)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.translate(_ALIKE))


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
