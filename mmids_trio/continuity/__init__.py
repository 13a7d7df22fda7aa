"""One stream made of several sources, so that the show outlives each of them. Pure: no tasks, no clocks."""
