"""Programs that answered a question once, kept so that the answer can be checked; docs/scaling.md has what came out."""
