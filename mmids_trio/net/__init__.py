"""Connections of whichever protocol: sockets, TLS, who is behind a balancer, and how many there may be."""
