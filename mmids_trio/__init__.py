"""mmids_trio: a live-video workflow server on trio."""

from importlib.metadata import version

__version__ = version("mmids_trio")
