"""The closed expression language of source mappings, customer-view items, audiences and rules.

Text is parsed with sqlglot against an allow-list into a small tree, typed and unit-checked, and written
out as Spark SQL text. No code can run from it, and nothing here needs Spark.
"""
