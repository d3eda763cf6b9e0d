"""The rule language: key moments in YAML, checked and compiled to SQL text. Needs no Spark."""
