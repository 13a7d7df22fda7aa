"""What is on the air: the streams and clients of a server, to be seen and to be sent away."""
