"""Recording what comes into a live server, so that it can be replayed."""
