"""What schemathesis has to be told about the API: how the configuration language is sent. Loaded by its command."""

from importlib import import_module

# Imported by name, so that the types can be checked where it is not installed.
import_module("schemathesis").serializer.alias("application/vnd.mmids.workflow", "text/plain")
