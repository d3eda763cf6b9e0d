"""Every problem of a YAML file is found at its line and column, and all of them at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.kernel.errors import ConfigError
from jobs.kernel.located_yaml import MAX_BYTES, MAX_DEPTH, StrictModel, load, parse, validate


class Part(StrictModel):
    size: int
    colour: str = "red"


class Whole(StrictModel):
    name: str
    parts: dict[str, Part] = {}
    row: tuple[Part, ...] = ()
    maybe: Part | None = None


def refused(text: str | bytes) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as caught:
        validate(parse(raw, "f.yaml"), Whole)
    return [str(issue) for issue in caught.value.issues]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nname: b\n", ["f.yaml:2:1 YAML_DUPLICATE_KEY 'name' stands here twice"]),
        (
            "name: a\nparts:\n  p: {size: 1, size: 2}\n",
            ["f.yaml:3:16 YAML_DUPLICATE_KEY 'size' stands here twice"],
        ),
        (
            "name: a\nnmae: b\n",
            [
                "f.yaml:2:1 YAML_UNKNOWN_KEY 'nmae' is not known here (did you mean 'name'?); "
                "allowed: maybe, name, parts, row"
            ],
        ),
        (
            "name: a\nparts:\n  p: {size: 1, color: x}\n",
            [
                "f.yaml:3:16 YAML_UNKNOWN_KEY 'color' is not known here (did you mean 'colour'?); "
                "allowed: colour, size"
            ],
        ),
        (
            "name: a\nrow:\n  - size: 1\n  - size: 2\n    sze: 3\n",
            [
                "f.yaml:5:5 YAML_UNKNOWN_KEY 'sze' is not known here (did you mean 'size'?); "
                "allowed: colour, size"
            ],
        ),
        (
            "name: a\nmaybe:\n  size: 1\n  zzzzz: 3\n",
            ["f.yaml:4:3 YAML_UNKNOWN_KEY 'zzzzz' is not known here; allowed: colour, size"],
        ),
        ("parts: {}\n", ["f.yaml:1:1 YAML_MISSING_KEY 'name' is missing"]),
        ("name: a\nparts:\n  p: {}\n", ["f.yaml:3:3 YAML_MISSING_KEY 'size' is missing"]),
        (
            "name: a\nparts:\n  p: {size: big}\n",
            [
                "f.yaml:3:7 YAML_BAD_VALUE 'size': Input should be a valid integer, unable to parse string "
                "as an integer, not 'big'"
            ],
        ),
        ("name: a\nparts: [1\nrow: 2\n", ["f.yaml:3:4 YAML_SYNTAX did not find expected ',' or ']'"]),
        ("name: b: c\n", ["f.yaml:1:8 YAML_SYNTAX mapping values are not allowed in this context"]),
        ("name:\n\t- b\n", ["f.yaml:2:1 YAML_SYNTAX found character that cannot start any token"]),
        ("name: a\n---\nname: b\n", ["f.yaml:2:1 YAML_SYNTAX but found another document"]),
        ("name: *x\n", ["f.yaml:1:7 YAML_SYNTAX found undefined alias"]),
        ("? [a]\n: 1\n", ["f.yaml:1:3 YAML_SYNTAX a key must be a plain word"]),
        ("name: &a [*a]\n", ["f.yaml:1:7 YAML_SYNTAX is nested too deeply"]),
        ("name: 2026-02-30\n", ["f.yaml:1:7 YAML_BAD_VALUE day is out of range for month"]),
        (
            "name: !!python/object:os.system x\n",
            [
                "f.yaml:1:7 YAML_BAD_VALUE could not determine a constructor for the tag "
                "'tag:yaml.org,2002:python/object:os.system'"
            ],
        ),
        ("name: !!binary aGk=\n", ["f.yaml:1:7 YAML_BAD_VALUE tag:yaml.org,2002:binary is not allowed"]),
        (
            "name: !own x\n",
            ["f.yaml:1:7 YAML_BAD_VALUE could not determine a constructor for the tag '!own'"],
        ),
    ],
)
def test_every_kind_of_problem_has_its_place(text: str, expected: list[str]) -> None:
    assert refused(text) == expected


def test_all_problems_are_collected() -> None:
    assert refused("nam: a\nparts:\n  p: {size: big}\n  q: {}\nrow: 3\n") == [
        "f.yaml:1:1 YAML_MISSING_KEY 'name' is missing",
        "f.yaml:1:1 YAML_UNKNOWN_KEY 'nam' is not known here (did you mean 'name'?); "
        "allowed: maybe, name, parts, row",
        "f.yaml:3:7 YAML_BAD_VALUE 'size': Input should be a valid integer, unable to parse string as an "
        "integer, not 'big'",
        "f.yaml:4:3 YAML_MISSING_KEY 'size' is missing",
        "f.yaml:5:1 YAML_BAD_VALUE 'row': Input should be a valid tuple, not 3",
    ]


def test_problems_of_form_are_collected_too() -> None:
    assert [line.split(" ")[:2] for line in refused("a: 1\na: 2\nb: !x 3\nc:\n  d: 1\n  d: 2\n")] == [
        ["f.yaml:2:1", "YAML_DUPLICATE_KEY"],
        ["f.yaml:3:4", "YAML_BAD_VALUE"],
        ["f.yaml:6:3", "YAML_DUPLICATE_KEY"],
    ]


def test_what_is_not_utf8_is_named_with_its_line() -> None:
    assert refused("name: 姓名\n".encode() + "row: 中\n".encode("gbk"))[0].startswith("f.yaml:2:")
    assert refused(b"name: a\nrow: \xff\n")[0].endswith(" YAML_SYNTAX is not UTF-8: byte 0xff")


def test_what_is_not_utf8_is_named_with_its_column() -> None:
    assert refused(b"name: a\nrow: \xff\n") == ["f.yaml:2:6 YAML_SYNTAX is not UTF-8: byte 0xff"]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert parse(b"\xef\xbb\xbfname: a\n", "f.yaml").data == {"name": "a"}


def test_nesting_ends_somewhere() -> None:
    fits = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse(fits, "f.yaml").data != []
    deep = b"[" * (MAX_DEPTH + 5) + b"]" * (MAX_DEPTH + 5)
    with pytest.raises(ConfigError, match=r"^f\.yaml:1:42 YAML_SYNTAX is nested too deeply"):
        parse(deep, "f.yaml")


def test_very_deep_nesting_is_an_issue_and_no_crash() -> None:
    code = (
        "from jobs.kernel.errors import ConfigError\n"
        "from jobs.kernel.located_yaml import parse\n"
        "try:\n    parse(b'[' * 200_000 + b']' * 200_000, 'f.yaml')\n"
        "except ConfigError as error:\n    print(error.codes)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "['YAML_SYNTAX']\n")


def test_aliases_cannot_blow_up_a_file() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 5)]
    with pytest.raises(ConfigError):
        parse("\n".join(rows).encode(), "f.yaml")


def test_a_tag_on_a_collection_is_refused_as_well() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:1:4 YAML_BAD_VALUE .*not allowed"):
        parse(b"a: !!python/object/apply:os.system [x]\n", "f.yaml")


def test_too_large_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"^f.yaml YAML_SYNTAX is larger than {MAX_BYTES} bytes"):
        parse(b"#" * (MAX_BYTES + 1), "f.yaml")


def test_a_missing_file_is_an_issue(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^conf/x\.yaml CONF_MISSING_FILE cannot be read: No such file"):
        load(tmp_path / "x.yaml", "conf/x.yaml")


def test_keys_stay_text_and_values_keep_their_kind() -> None:
    document = parse(b"on: 1\nno: 2.5\n1: yes\nd: 2026-02-28\nn:\n", "f.yaml")
    assert list(document.data) == ["on", "no", "1", "d", "n"]
    assert [type(value).__name__ for value in document.data.values()] == [
        "int",
        "float",
        "bool",
        "date",
        "NoneType",
    ]


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert parse(b"", "f.yaml").data == {}
    assert refused("") == ["f.yaml YAML_MISSING_KEY 'name' is missing"]


def test_a_place_that_is_not_there_is_that_of_what_is_around_it() -> None:
    document = parse(b"a:\n  b:\n    - c: 1\n", "f.yaml")
    assert str(document.at("a", "b", 0, "c")) == "f.yaml:3:7"
    assert str(document.at("a", "b", 7, "c")) == "f.yaml:2:3"
    assert str(document.at("z")) == "f.yaml:1:1"
