"""Kinds of steps and executors that others wrote: how they come into the program, and what there is to use."""
