"""A model of the promises of the store, and a world of workers, API processes and readers that tries to break them."""
