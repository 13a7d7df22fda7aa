"""Who is let in beside the secrets of a step: those with a signed token, and whom a web service says yes to."""
