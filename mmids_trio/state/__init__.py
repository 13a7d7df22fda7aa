"""What the HTTP API has changed, kept beside the configuration file: its text, its file, and how the two go together."""
