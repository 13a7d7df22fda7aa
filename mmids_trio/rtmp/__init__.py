"""RTMP endpoints: ports and registrations, one session per connection, fan-out to watchers."""
