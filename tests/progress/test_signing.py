"""Signatures, as the library of the Standard Webhooks specification reads them."""

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from progress.signing import headers, key_of, new_secret

BODY = b'{"type":"job.succeeded","data":{}}'


def test_a_receiver_can_verify_a_message() -> None:
    secret = new_secret()
    made = headers([secret], "msg_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, made) == {"type": "job.succeeded", "data": {}}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", made)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, made)


def test_while_a_secret_is_changed_both_verify() -> None:
    old, new = new_secret(), new_secret()
    made = headers([new, old], "msg_1", int(time.time()), BODY)
    for secret in (old, new):
        Webhook(secret).verify(BODY, made)


@pytest.mark.parametrize("secret", ["", "x", "whsec_", "whsec_abc", "whsec_" + "A" * 28, "A" * 44, "whsec_" + "A" * 92])
def test_a_secret_that_is_none_says_how_to_make_one(secret: str) -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        key_of(secret)
