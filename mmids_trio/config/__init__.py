"""The configuration language: text in, definitions or problems out. No I/O."""
