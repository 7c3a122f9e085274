"""What tests of several parts share: servers to run against, ways to wait."""
