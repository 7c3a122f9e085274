"""The Jobcast of the integration tests, and what must hold after each test."""

from tests.integration.conftest import calm, speaking

__all__ = ["calm", "speaking"]
