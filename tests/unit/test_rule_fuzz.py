"""Rule files that are broken in every way: located errors, nothing else. `make fuzz` tries 20,000 of them."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from jobs.expressions.functions import FUNCTIONS
from jobs.expressions.nodes import Call, walk
from jobs.kernel.errors import CODES, ConfigError
from jobs.kernel.project import Project
from jobs.rulelang.conditions import leaves
from jobs.rulelang.load import load_rules
from jobs.stages.context import configure

ROOT = Path(__file__).parents[2]
FILES = int(os.environ.get("KEYMOMENTS_FUZZ_FILES", "400"))
LONGEST_SECONDS = 60.0
RULES = [path.read_text("utf-8") for path in sorted((ROOT / "rules" / "moments").glob("*.yaml"))]

HOSTILE = [
    "__import__('os').system('true')", "java_method('java.lang.Runtime', 'getRuntime')", "reflect('a', 'b')",
    "(select 1)", "exists(select * from x)", "1; drop table alerts", "complaints_30d -- >= 1", "/* a */ 1 = 1",
    "case when", "((((((((((", "not " * 500 + "true", "(" * 3000 + "1" + ")" * 3000, "a" * 20_000, "'" , "`", ":", "::",
    ":default", "${HOME}", "{{x}}", "${env:PATH}", "complaints_30d >= 9e999999", "1e400 > 0", "nan > 1", "0x1f > 1",
    "complaints_30d >= '2'", "date 'yesterday' > as_of", "1 / 0 > 1", "complaints_30d in ()", "complaints_30d in (select 1)",
    "complaints_30d >= 1 and " * 200 + "true", "complaints_30d", "null", "null = null", "rand() > 0.5", "now() > as_of",
    "input_file_name() = 'x'", "array(1, 2)[0] = 1", "x -> x", "struct(1)", "complaints_30d::int > 1", "@x > 1", "?", "\\",
]  # fmt: skip
VALUES = [
    "null", "true", "[]", "{}", "''", "-1", "9999999999999999999999", "1e308", ".nan", ".inf", "2026-02-30", "yes", "0x10",
    "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "&a [*a]", "*unknown", "|\n  text", "{a: {a: {a: 1}}}",
    "<<: *x", "? [a]", "- - - x", "'\\u0000'", "\"\\x00\"", "一二三", "\U0001f600", "\u202e", "0o17", "1_000", "~",
]  # fmt: skip


def bomb(draw: random.Random) -> str:
    """Few bytes that mean many."""
    if draw.random() < 0.5:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
        return "\n".join(lines) + "\n"
    depth = draw.choice([50, 500, 5_000])
    return "when: " + "{all: {a: " * depth + "x" + "}}" * depth + "\n"


def mutated(draw: random.Random) -> bytes:
    """A rule file with some things wrong."""
    text = draw.choice(RULES)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        lines = text.split("\n")
        at = draw.randrange(len(lines))
        match draw.randrange(11):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[draw.randrange(len(lines))])
            case 2:
                lines[at] = "  " * draw.randrange(4) + lines[at].lstrip()
            case 3:
                key, colon, _ = lines[at].partition(":")
                lines[at] = f"{key}{colon} {draw.choice(VALUES)}"
            case 4:
                key, colon, rest = lines[at].partition(":")
                lines[at] = f"{key[:-1]}{draw.choice('xyz_')}{colon}{rest}"
            case 5:
                key, colon, _ = lines[at].partition(":")
                lines[at] = f'{key}{colon} "{draw.choice(HOSTILE)}"'
            case 6:
                start = draw.randrange(len(text))
                lines = (text[:start] + text[start + draw.randrange(1, 30) :]).split("\n")
            case 7:
                lines = (bomb(draw) + text).split("\n")
            case 8:
                place = draw.randrange(len(text))
                lines = (text[:place] + draw.choice("{}[]:,'\"|>&*!%@`#-?\t\r\0") + text[place:]).split("\n")
            case 9:
                lines.append(f"when: {{all: {{trial: {draw.choice(HOSTILE)!r}}}}}")
            case _:
                lines = lines[: draw.randrange(len(lines))]
        text = "\n".join(lines) or "\n"
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    if draw.random() < 0.15:
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with audiences and plans, and room for one rule."""
    root = tmp_path_factory.mktemp("fuzz")
    for folder in ("moments", "reminders"):
        (root / "rules" / folder).mkdir(parents=True)
    for name in ("audiences.yaml", "plans.yaml"):
        (root / "rules" / name).write_bytes((ROOT / "rules" / name).read_bytes())
    shutil.copytree(ROOT / "rules" / "templates", root / "rules" / "templates")
    return Project(root)


def test_broken_rule_files_give_located_errors_only(little: Project) -> None:
    configuration = configure(Project(ROOT))
    types, labels = configuration.view.types, configuration.view.labels
    draw = random.Random(20260531)
    accepted, codes = 0, set()
    for number in range(FILES):
        data = mutated(draw)
        path = little.root / "rules" / "moments" / "trial.yaml"
        path.write_bytes(data)
        began = time.monotonic()
        try:
            rules = load_rules(little, types, {}, labels, configuration.rules.holidays)
        except ConfigError as error:
            for issue in error.issues:
                assert issue.code in CODES and issue.message
                # What is wrong is that a rule is named which is not in this little project, or the rule itself.
                assert issue.location is not None and issue.location.path.startswith("rules/"), (
                    number,
                    data,
                    issue,
                )
            codes |= {issue.code for issue in error.issues}
        except Exception as error:
            raise AssertionError(f"file {number} gives {type(error).__name__}: {data!r}") from error
        else:
            accepted += 1
            for one in rules.rules:
                trees = [leaf.tree for leaf in leaves(one.condition)]
                used = {call.function for tree in trees for call in walk(tree) if isinstance(call, Call)}
                assert used <= FUNCTIONS.keys(), (number, data)
        assert time.monotonic() - began < LONGEST_SECONDS, (number, data)
    assert len(codes) > 12 and accepted < FILES / 4
