"""The composition root: a whole server put together of its parts, and run. Nothing else knows all of them."""
