"""Figures of this machine: what streaming, publishing and submitting cost, beside what one would use instead."""
