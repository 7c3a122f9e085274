"""Faults: processes killed, frozen and cut off in the middle of their work, and what readers see of it."""
