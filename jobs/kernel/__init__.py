"""What everything else stands on: errors, located YAML, cycles, ids. Standard library, PyYAML, pydantic."""
