"""Reactors: workflows that run for as long as somebody needs a stream, as an outside service says."""
