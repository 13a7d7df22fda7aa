"""Commands that talk to a running server over its HTTP API; none of them imports the server."""
