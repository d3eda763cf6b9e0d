"""Great Expectations suites made from contracts, run on the figures of deliveries; Data Docs of the outcome.

A suite looks at one row of figures a delivery, which the pass that judges the rows has counted: so no check
reads the rows again, whatever their number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from jobs.contracts.extracts import ExtractContract
from jobs.contracts.quality import Breach


@dataclass(frozen=True)
class Expectation:
    """A figure of a delivery and its bounds.

    Attributes:
        check: rows, volume, nulls, drift, freshness or references.
        field: Of which field, if it is of one.
        least: Least value expected.
        most: Greatest value expected.
        breach: What becomes of a delivery that is otherwise.
    """

    check: str
    field: str | None
    least: float | None
    most: float | None
    breach: Breach

    def holds(self, figure: float) -> bool:
        """Whether a figure lies between the bounds."""
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)

    @property
    def column(self) -> str:
        """Name of the figure."""
        return self.check if self.field is None else f"{self.check}:{self.field}"


def expectations_of(contract: ExtractContract) -> list[Expectation]:
    """All that a contract expects of a delivery.

    Example:
        >>> from jobs.contracts.extracts import load_contracts
        >>> from jobs.kernel.project import Project
        >>> [one.column for one in expectations_of(load_contracts(Project.find())["manager_assignments"])]
        ['freshness', 'references:customer_id']
    """
    quality = contract.quality
    volume, nulls, drift = quality.volume, quality.nulls, quality.drift
    found = []
    if (rows := quality.rows) is not None:
        least, most = (None if bound is None else float(bound) for bound in (rows.least, rows.most))
        found.append(Expectation("rows", None, least, most, rows.breach))
    if contract.expects_volume:
        found.append(
            Expectation("volume", None, max(0.0, 1 - volume.within), 1 + volume.within, volume.breach)
        )
    limit = float(contract.freshness_days)
    found.append(Expectation("freshness", None, None, limit, quality.freshness.breach))
    for name, field in contract.fields.items():
        if not field.required and field.default is None:
            found.append(Expectation("nulls", name, None, nulls.within, nulls.breach))
        if field.values is not None or field.type in ("integer", "decimal"):
            found.append(Expectation("drift", name, None, drift.within, drift.breach))
    found += [
        Expectation("references", name, None, reference.within, reference.breach)
        for name, reference in contract.references.items()
        if reference.breach != "quarantine"
    ]
    return found


class Validator:
    """Runs the suites of a run's contracts."""

    def __init__(self) -> None:
        # It would report its use to its makers otherwise.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        # Here, since the import takes seconds, and most commands do without.
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        self._gx = gx
        self._context = gx.get_context(
            mode="ephemeral",
            project_config=DataContextConfig(
                store_backend_defaults=InMemoryStoreBackendDefaults(),
                progress_bars=ProgressBarsConfig(globally=False),
            ),
        )
        self._figures = self._context.data_sources.add_pandas("deliveries")

    def failed(
        self,
        contract: ExtractContract,
        expected: Sequence[Expectation],
        figures: Sequence[Mapping[str, float | None]],
    ) -> list[list[Expectation]]:
        """For each delivery, the expectations that it does not meet; a missing figure meets all.

        Args:
            contract: The contract.
            expected: What it expects; see expectations_of.
            figures: One mapping a delivery, by Expectation.column.
        """
        columns = [one.column for one in expected]
        frame = pd.DataFrame([[row.get(name) for name in columns] for row in figures], columns=columns)
        outcome = self._definition(contract, expected).run(
            batch_parameters={"dataframe": frame.astype("float64")},
            result_format={"result_format": "BASIC", "partial_unexpected_count": len(figures)},
        )
        unmet = {
            one.expectation_config.kwargs["column"] for one in outcome.results if one.success is not True
        }
        # Great Expectations lists the first 200 figures only, so the bounds tell which ones it means.
        return [
            [
                one
                for one in expected
                if one.column in unmet
                and (figure := row.get(one.column)) is not None
                and not one.holds(figure)
            ]
            for row in figures
        ]

    def _definition(self, contract: ExtractContract, expected: Sequence[Expectation]) -> Any:
        gx = self._gx
        suite = gx.ExpectationSuite(contract.contract)
        for one in expected:
            suite.add_expectation(
                gx.expectations.ExpectColumnValuesToBeBetween(
                    column=one.column,
                    min_value=one.least,
                    max_value=one.most,
                    severity="critical" if one.breach == "stop" else "warning",
                )
            )
        asset = self._figures.add_dataframe_asset(contract.contract)
        batch = asset.add_batch_definition_whole_dataframe("deliveries")
        suite = self._context.suites.add(suite)
        definition = gx.ValidationDefinition(name=contract.contract, data=batch, suite=suite)
        return self._context.validation_definitions.add(definition)

    def write_docs(self, folder: Path) -> None:
        """Writes the outcome of this run as static pages, in the place of an earlier run's."""
        shutil.rmtree(folder, ignore_errors=True)
        self._context.variables.data_docs_sites = {
            "deliveries": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(folder),
                },
            }
        }
        self._context.build_data_docs()
