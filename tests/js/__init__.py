"""The JavaScript in static/, tested by node without a browser."""
