"""Input that nobody should send."""
