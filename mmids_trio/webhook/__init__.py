"""The events of the hub, posted to a web service: bounded, in order, signed, and never in the way of media."""
