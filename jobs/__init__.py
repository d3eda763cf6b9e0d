"""The key-moment pipeline: extracts -> view -> risk -> moments -> alerts.

Imports go one way: entry points -> stages -> (domain | storage | synthetic) -> rulelang -> config ->
contracts -> expressions -> kernel. The five on the right know nothing of Spark.
"""
