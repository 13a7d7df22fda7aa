"""A long run of the server as a program under every attack that we know, beside clients that must notice nothing."""
