"""Reading the configuration file again while the server runs."""
