"""A whole Jobcast, tried from outside: many readers, cut connections, load, faults and shutdown."""
