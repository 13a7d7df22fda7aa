"""One stream to many subscribers, of whichever protocol: rendered once, sent in one pass."""
