"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "jobs").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), raise_on_error=False, verbose=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_there_are_examples() -> None:
    """Those who write rules and mappings are shown what dates, expressions and windows mean."""
    shown = {"kernel.cycle", "expressions.parse", "expressions.sql", "contracts.windows", "modelling.rates"}
    assert {f"jobs.{name}" for name in shown} <= set(WITH_EXAMPLES)
