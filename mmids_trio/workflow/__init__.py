"""Workflows at work: planning a change, rewiring the links between steps, running the tasks."""
