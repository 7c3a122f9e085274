"""A small model server of our own that speaks OpenAI chat completions, for trying Jobcast out and for its tests."""
