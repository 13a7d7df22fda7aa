"""Capturing what comes into a live server, on a tape that can be replayed."""
