"""Our own RTMP client."""
