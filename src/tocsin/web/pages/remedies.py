"""What a delivery's end means to whoever set up its integration, and what to do about it."""

from __future__ import annotations

from tocsin.core.model import DeliveryStatus, Verb
from tocsin.store.views import DeliveryView

#: A piece of the reason, and the sentence with its remedy; the first that fits is told.
_OF_REASON = (
    (
        "the signature is wrong",
        (
            "Signature wrong: is this the Client Secret of this integration? Copy it again from"
            " Sentry; it is neither the Client ID nor an auth token."
        ),
    ),
    (
        "there is no signature",
        (
            "Not signed, and this integration has a secret. The legacy plugin cannot sign: give it"
            " an integration of its own, or take the secret away here."
        ),
    ),
    ("is disabled", "The integration is disabled: enable it in its settings."),
    (
        "content type",
        "The sender must say that it sends JSON: Content-Type: application/json.",
    ),
    ("Content-Encoding", "The body is compressed or encoded: the sender must send it plain."),
    ("no shape of the", "No known shape of a webhook fits this body. It is kept: open it to see."),
    ("could not be processed", "It failed here, three times. It is kept: open it and replay it."),
    ("integration is gone", "Its integration was removed before it was processed."),
)

_OF_STATUS = {
    DeliveryStatus.REJECTED: "It is not the JSON object that was expected: {reason}.",
    DeliveryStatus.ACCEPTED: "Stored; it is being processed.",
    DeliveryStatus.UNRECOGNISED: "Nobody understands this body: {reason}.",
    DeliveryStatus.FAILED: "It failed here: {reason}.",
}


def remedy(one: DeliveryView) -> str:
    """Return one sentence that says why it ended so, and what to do; empty where all is well."""
    if one.status == DeliveryStatus.PROCESSED:
        wakes_nobody = one.verb == Verb.NONE and one.outcome == "ignored"
        return "Stored and shown; nothing asks to wake anybody for it." if wakes_nobody else ""
    reason = one.reason or ""
    for piece, sentence in _OF_REASON:
        if piece in reason:
            return sentence
    return _OF_STATUS[DeliveryStatus(one.status)].format(reason=reason or "no reason is known")
