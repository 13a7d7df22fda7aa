"""RTMP without I/O: bytes in, events out. No clock, socket, task or log in here."""
