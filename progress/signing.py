"""Signatures of what webhooks are sent, as the Standard Webhooks specification has them. No I/O."""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
KEY_BYTES: Final = range(24, 65)
"""How long a secret may be, by the specification."""


def new_secret() -> str:
    """A secret of 32 random bytes."""
    return PREFIX + base64.b64encode(os.urandom(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret. Raises ValueError, which says how to make one."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise ValueError(f"a secret is {PREFIX} and 24 to 64 bytes in base64: echo {PREFIX}$(openssl rand -base64 32)")
    return key


def headers(secrets: Iterable[str], message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of a message: its id, when it is sent (epoch seconds), and a signature by each secret."""
    signed = f"{message_id}.{seconds}.".encode() + body
    digests = (hmac.digest(key_of(secret), signed, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
