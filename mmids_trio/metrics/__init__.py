"""What the server counts and measures, and how `GET /metrics` shows it."""
