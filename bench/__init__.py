"""Figures of this machine: what relaying, publishing and submitting cost, beside the designs of common tutorials."""
