"""The certificates that this process trusts as a client of HTTPS, read once: that takes 20 ms and a megabyte."""

import functools
import ssl

import httpx


@functools.cache
def trusted(trust_env: bool = True) -> ssl.SSLContext:
    """Those that httpx trusts; ``trust_env`` says whether ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name others."""
    return httpx.create_ssl_context(trust_env=trust_env)
