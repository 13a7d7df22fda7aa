"""A long run of the server as a program, with real clients, that fails when something of it only grows."""
