"""Help for tests of workflows: a network in memory and media without files."""
