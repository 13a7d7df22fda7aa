"""The HTTP API: Quart-Trio application, JSON shapes, and Hypercorn inside a nursery."""
