"""Media over HTTP: what players and browsers fetch."""
