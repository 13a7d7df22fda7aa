"""Changes over the HTTP API, kept beside the configuration file: text, file, and how both go together."""
