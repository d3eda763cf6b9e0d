"""Late sources: whom the run waits for, who stops it, and who is merely unknown."""

from collections.abc import Callable
from datetime import date

import pytest

from jobs.config.load_source import load_source
from jobs.config.sources import Source
from jobs.contracts.extracts import ExtractContract
from jobs.contracts.supply import Delivered, Supply
from jobs.contracts.view import CustomerView
from jobs.kernel.cycle import Cycle, CycleKind
from jobs.kernel.errors import CycleError, LateError, SourceError
from jobs.kernel.located_yaml import parse
from jobs.stages import freshness
from jobs.stages.context import RunContext

AS_OF = date(2026, 5, 31)
CYCLE = Cycle(CycleKind.daily, AS_OF, date(2026, 6, 1))
TEXT = """
source: x
zh: x
en: x
when_stale: {WHEN}
extracts:
  - {contract: subscriptions, files: 's_{period}.csv', fields: same}
  - {contract: balances, files: 'b_{period}.csv', fields: same}
  - {contract: complaints, files: 'c_{period}.csv', fields: same}
"""


def source(contracts: dict[str, ExtractContract], when: str) -> Source:
    return load_source(parse(TEXT.replace("WHEN", when).encode(), "x.yaml"), contracts)


@pytest.fixture
def check(
    view: CustomerView, contracts: dict[str, ExtractContract], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """check_fresh for what is delivered until some dates; balances may be 3 days old."""
    some = {**contracts, "balances": contracts["balances"].model_copy(update={"freshness_days": 3})}

    def run(when: str, **until: date | None) -> None:
        delivered = {
            name: Delivered(frozenset(), None if last is None else date(2026, 1, 1), last)
            for name, last in {"subscriptions": AS_OF, **until}.items()
        }
        supply = Supply(view, some, delivered, AS_OF)
        monkeypatch.setattr(freshness, "supply_at", lambda *_: supply)
        monkeypatch.setattr(freshness, "known_deliveries", lambda _: [])
        one = object.__new__(RunContext)
        monkeypatch.setattr(RunContext, "source", source(contracts, when))
        freshness.check_fresh(one, CYCLE)

    return run


def test_what_is_fresh_enough_or_may_degrade_lets_the_run_go_on(check: Callable[..., None]) -> None:
    check("balances: wait", balances=date(2026, 5, 28))
    check("balances: degrade", balances=date(2026, 5, 1))
    check("", balances=date(2026, 5, 1))


def test_a_late_source_is_waited_for(check: Callable[..., None]) -> None:
    with pytest.raises(LateError) as caught:
        check("balances: wait, complaints: wait", balances=date(2026, 5, 27), complaints=None)
    assert caught.value.exit_code == 5
    assert [str(issue) for issue in caught.value.issues] == [
        "x.yaml SOURCE_LATE balances: the newest data are of 2026-05-27 for 2026-05-31; they may be 3 days old (wait)",
        "x.yaml SOURCE_LATE complaints: nothing is known for 2026-05-31; they may be 3 days old (wait)",
    ]


def test_stopping_goes_before_waiting_and_names_both(check: Callable[..., None]) -> None:
    with pytest.raises(SourceError) as caught:
        check("balances: wait, complaints: stop", balances=None, complaints=date(2026, 1, 1))
    assert not isinstance(caught.value, LateError) and caught.value.exit_code == 2
    assert caught.value.codes == ["SOURCE_LATE"] * 2


def test_a_date_long_after_the_last_delivery_is_refused(check: Callable[..., None]) -> None:
    check("", subscriptions=date(2026, 3, 30), balances=date(2025, 1, 1))
    with pytest.raises(CycleError) as caught:
        check("", subscriptions=date(2026, 3, 29), balances=date(2025, 1, 1))
    assert caught.value.exit_code == 2
    assert [str(issue) for issue in caught.value.issues] == [
        "CYCLE_BAD_DATE the newest data are of 2026-03-29; is 2026-05-31 after the last delivery?"
    ]


def test_a_contract_that_no_extract_fills_is_said(
    contracts: dict[str, ExtractContract], issues_of: Callable[[Callable[[], object]], list[str]]
) -> None:
    assert issues_of(lambda: source(contracts, "balance: wait")) == [
        "x.yaml:5:14 CONF_UNKNOWN_REFERENCE 'balance' is not filled by any extract (did you mean 'balances'?)"
    ]
    [issue] = issues_of(lambda: source(contracts, "balances: later"))
    assert "YAML_BAD_VALUE" in issue
