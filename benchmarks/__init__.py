"""Measures the server beside others on the same machine; `scripts/benchmark` runs it, docs/performance.md explains it.

It is no part of the package that is installed, and imports nothing of it but the table of settings.
"""
