"""The RTMP server: ports, sessions, and what steps register with it."""
