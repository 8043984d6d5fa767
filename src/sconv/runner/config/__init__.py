"""The configuration: its schema, what is refused, what its targets name."""
