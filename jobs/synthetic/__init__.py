"""The synthetic province: extracts of an invented operator in Jiangsu, with a known truth planted in them.

It serves tests, benchmarks and demonstrations. Six months (2025-12 to 2026-05) of bills and monthly usage, of
which the last two also day by day; customers with habits, balances, complaints and reasons to leave; and
stories, each of which makes one key moment true (or just fails to) on a known date.

Draws are hashes of (seed, customer, stream), so a customer is the same in a province of any size. Stories are
declared in ``stories_daily`` and ``stories_cyclic``; each generator module reads from a story what concerns
its own extracts. This package needs numpy and pyarrow, no other part of the project and no Spark.
"""

from jobs.synthetic.province import ProvinceReport, make_province

__all__ = ["ProvinceReport", "make_province"]
