"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import jobs.contracts
import jobs.expressions
import jobs.kernel

PACKAGES = (jobs.kernel, jobs.expressions, jobs.contracts)
MODULES = [
    f"{package.__name__}.{found.name}"
    for package in PACKAGES
    for found in pkgutil.iter_modules(package.__path__)
] + ["jobs.domain.rates", "jobs.rulelang.templates"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), raise_on_error=False, verbose=False)
    assert result.failed == 0


def test_there_are_examples() -> None:
    attempted = {name: doctest.testmod(importlib.import_module(name)).attempted for name in MODULES}
    for name in ("kernel.errors", "kernel.ids", "kernel.cycle", "expressions.parse", "expressions.sql",
                 "expressions.nodes", "contracts.windows", "contracts.columns", "domain.rates"):  # fmt: skip
        assert attempted[f"jobs.{name}"] > 0, name
