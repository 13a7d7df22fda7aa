"""Several servers that share their streams: who has which, by a registry that may fail, and who serves them too."""
