"""Whose a refused row is, by its text."""

import pytest

from jobs.config.person_text import Clear, PersonText, built_ids, tombstone_of
from jobs.config.sources import ExtractMapping
from jobs.contracts.extracts import ExtractContract

KEY = b"key"
PERSON = Clear(
    {"customer_id": ["C12"], "subscription_id": ["S7", "1234", "123456789"]},
    names=["张小白", "𠮷田", "Anna Maria Smith", "José Pérez", "南京ABC（代理）", "阿依古丽·买买提"],
    devices=["352099001761481"],
    numbers=["13400000071", "02584212345"],
)


OTHERS = {"subscription_id": "S9"}
"""What a row holds that was read, and is another's."""


def stone(name: str, value: str) -> str:
    return tombstone_of(name, value, KEY)


STONES = frozenset(stone(name, one) for name, mine in PERSON.ids.items() for one in mine)


def is_in(text: PersonText, row: str, ids: dict[str, str] | None, contract: str) -> bool:
    """As an erasure asks of a row whose owner no table knows, or of one that tells none."""
    return text.is_in(row, ids) or (not ids and text.may_be_in(row, contract))


TEXT = PersonText(PERSON.pattern(), STONES, KEY, {"bills": {("subscription_id", "V", "")}})


@pytest.mark.parametrize(
    "text",
    [
        "C12,2026-05-01", '{"id": "C12"}', "客户C12投诉", "of C12.", "x|S7|y", "123456789,1",
        ",张小白,", '{"name": "\\u5f20\\u5c0f\\u767d"}', '{"name": "\\u5F20\\u5c0f白"', '["\\ud842\\udfb7\\u7530"]',
        '{"text": "\\uff0c\\u5f20\\u5c0f\\u767d\\uff0c"}',
        "13400000071", "+86 134-0000-0071", "8613400000071", "0086 134 0000 0071", "008613400000071", "打13400000071找他",
        "025-84212345", "352099001761481", r"\xffC12,1", r"\xe5\x8d张小白", r"\xff13400000071",
        "客户张小白来电", "张小白女士", "134.0000.0071", "(134)0000-0071", "134  0000 0071", "134/0000/0071",
        "134_0000_0071", "134 - 0000 - 0071", "+86(134)00000071", "86 134 0000 0071", "013400000071",
        "138,134·0000·0071", "134—0000—0071", "JOSÉ PÉREZ", "①13400000071", "13400000071②", "阿依古丽•买买提", "阿依古丽・买买提", "南京abc(代理)", "南京ＡＢＣ（代理）", "张小白（女）",
        "tel13400000071", "１３４００００００７１", "35-209900-176148-1", "ANNA MARIA SMITH", "Anna  Maria Smith's",
    ],
)  # fmt: skip
def test_a_person_is_in_a_text_however_it_is_written(text: str) -> None:
    assert is_in(TEXT, text, OTHERS, "bills")
    assert is_in(TEXT, text, None, "bills")


@pytest.mark.parametrize(
    "text",
    [
        "C12-3", "C12_3", "C12.3", "xC12", "3-C12", "C123", "S77", "1-S7", "AS7", "张小黑", "José Pérezo", "Joanna Maria Smith", "Anna Maria Smithson",
        "113400000071", "134000000715", "12345", "1234567890", "C1 2", "",
    ],
)  # fmt: skip
def test_others_are_left_in_peace(text: str) -> None:
    assert not is_in(TEXT, text, OTHERS, "bills")
    assert not is_in(TEXT, text, None, "bills")


def test_ids_are_found_as_programs_pad_numbers() -> None:
    for row in (" 1234,x", "1234.0,x", "0001234,x", "2026-05-03,1234,5"):
        assert TEXT.may_be_in(row, "bills"), row
    for row in ("12340", "1234.5", "10001234", "1234-5"):
        assert not TEXT.may_be_in(row, "bills"), row
    assert TEXT.is_in("x", {"subscription_id": " 1234 "})


def test_a_short_number_is_an_id_only_where_nothing_else_tells_whose_a_row_is() -> None:
    """In a row that was read it may be an amount."""
    assert not is_in(TEXT, "S9,1234", OTHERS, "bills")
    assert is_in(TEXT, "1234,9", {"subscription_id": "1234"}, "bills")
    assert is_in(TEXT, "1234", {}, "bills")


def test_ids_that_a_mapping_builds_are_found_in_rows_that_cannot_be_read() -> None:
    built = Clear({"subscription_id": ["V55"]})
    text = PersonText(
        built.pattern(),
        frozenset([stone("subscription_id", "V55")]),
        KEY,
        {"bills": {("subscription_id", "V", "")}},
    )
    assert is_in(text, "55,x,,", {}, "bills") and is_in(text, "用户55;x", None, "bills")
    assert not is_in(text, "55,x,,", {}, "plans") and not is_in(
        text, "55,x", {"subscription_id": "V9"}, "bills"
    )
    assert is_in(text, "anything", {"subscription_id": "V55"}, "bills")


def test_columns_of_fixed_width_have_nothing_between_them() -> None:
    """In rows that cannot be cut into them what is looked for may stand beside anything."""
    built = Clear({"subscription_id": ["V0055"]}, names=["张小白"], numbers=["13400000071"])
    packed = {"bills": built.packed([("subscription_id", "V", "")])}
    text = PersonText(built.pattern(), frozenset(), KEY, {}, packed)
    assert is_in(text, "x张小白男", {}, "bills")
    for row in ("7V00552026-05-01", "700552026-05-01", "5134000000712026"):
        assert is_in(text, row, {}, "bills"), row
        assert not is_in(text, row, {}, "plans") and not is_in(text, row, OTHERS, "bills")
    assert not is_in(text, "V0056", {}, "bills")
    assert not Clear({}).packed([]).search("anything")
    assert Clear({}, devices=["352099001761481"]).packed([]).search("x3520990017614812026")


def test_the_first_id_tells_whose_a_row_is() -> None:
    """An account may be shared."""
    text = PersonText(
        Clear({}).pattern(), frozenset([stone("account_id", "A1"), stone("customer_id", "C1")]), KEY
    )
    assert is_in(text, "x", {"account_id": "A1"}, "bills")
    assert is_in(text, "x", {"customer_id": "C1", "account_id": "A2"}, "bills")
    assert not is_in(text, "x", {"customer_id": "C2", "account_id": "A1"}, "bills")
    assert not is_in(text, "x", {"subscription_id": "S2", "account_id": "A1"}, "bills")


def test_mappings_tell_what_they_put_around_an_id(contracts: dict[str, ExtractContract]) -> None:
    def mapping(**fields: str) -> ExtractMapping:
        return ExtractMapping(contract="customers", files="c_{period}.csv", fields=fields)

    found = built_ids(
        [
            mapping(customer_id="concat('V', `id`)"),
            mapping(customer_id="concat('A-', trim(`id`), '-', 'x')"),
            mapping(customer_id="concat(`a`, `b`)"),
            mapping(customer_id="`id`"),
        ],
        contracts,
    )
    assert found == {"customers": {("customer_id", "V", ""), ("customer_id", "A-", "-x")}}
    assert not Clear({}).pattern().search("anything")
    # A letter alone is no name.
    assert not Clear({}, names=["张"]).pattern().search("a 张 b")
