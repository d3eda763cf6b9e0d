"""Settings of a project (conf/*.yaml) and source mappings (conf/sources/*.yaml)."""
