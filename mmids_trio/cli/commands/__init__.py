"""The commands, a module for each, named after it; what several share is beside this folder and in `client/`."""
