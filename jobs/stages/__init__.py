"""Stages: read, call pure code, check, write, and report to the ledger."""
