"""Media as data: the events that travel through a workflow, and what their first bytes say."""
