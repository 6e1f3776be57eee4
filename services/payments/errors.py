"""What a caller of payments may be told, each with one gRPC status and one reason.

    MeshError
    └── PaymentsError
        ├── Refusal, an answer: kept under the idempotency key and given again
        │   ├── PaymentDeclinedError       FAILED_PRECONDITION  PAYMENT_DECLINED
        │   ├── PaymentNotRefundableError  FAILED_PRECONDITION  PAYMENT_NOT_REFUNDABLE
        │   ├── RefundExceedsPaymentError  FAILED_PRECONDITION  REFUND_EXCEEDS_PAYMENT
        │   ├── CurrencyMismatchError      FAILED_PRECONDITION  CURRENCY_MISMATCH
        │   ├── AccountNotFoundError       NOT_FOUND            ACCOUNT_NOT_FOUND
        │   ├── LinkNotFoundError          NOT_FOUND            LINK_NOT_FOUND
        │   └── PaymentNotFoundError       NOT_FOUND            PAYMENT_NOT_FOUND
        ├── at the door or about the key itself: nothing is stored
        │   ├── CardNumberRefusedError     INVALID_ARGUMENT     CARD_NUMBER_REFUSED
        │   ├── UnknownCurrencyError       INVALID_ARGUMENT     UNKNOWN_CURRENCY
        │   ├── IdempotencyKeyReusedError  ALREADY_EXISTS       IDEMPOTENCY_KEY_REUSED
        │   └── IdempotencyKeyInUseError   ABORTED              IDEMPOTENCY_KEY_IN_USE
        └── for the time being: what was begun will be finished
            ├── ProviderUnavailableError   UNAVAILABLE          PROVIDER_UNAVAILABLE
            └── LedgerUnavailableError     UNAVAILABLE          LEDGER_UNAVAILABLE

INVALID_REQUEST, INVALID_PAGE_TOKEN and OBJECT_DENIED are meshkit's.
"""

from __future__ import annotations

import grpc

from meshkit.errors import MeshError


class PaymentsError(MeshError):
    """Root of this service's errors."""


class Refusal(PaymentsError):
    """A final answer to one idempotency key."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class PaymentDeclinedError(Refusal):
    """The provider declined; `decline_code` is in the metadata."""

    reason = "PAYMENT_DECLINED"
    message = "The payment was declined."

    def __init__(self, decline_code: str) -> None:
        super().__init__(metadata={"decline_code": decline_code})


class PaymentNotRefundableError(Refusal):
    """The payment did not succeed, was given back whole, or the provider gives nothing back."""

    reason = "PAYMENT_NOT_REFUNDABLE"
    message = "The payment cannot be refunded."


class RefundExceedsPaymentError(Refusal):
    """More than is left of the payment."""

    reason = "REFUND_EXCEEDS_PAYMENT"
    message = "The refunds would add up to more than the payment."


class CurrencyMismatchError(Refusal):
    """The amount's currency is not the account's or the payment's."""

    reason = "CURRENCY_MISMATCH"
    message = "The amount is in another currency."


class AccountNotFoundError(Refusal):
    """No such merchant account of the user's tenant."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "ACCOUNT_NOT_FOUND"
    message = "There is no such merchant account."


class LinkNotFoundError(Refusal):
    """No such verified bank link of this user."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "LINK_NOT_FOUND"
    message = "There is no such verified bank link."


class PaymentNotFoundError(Refusal):
    """No such payment, or it is not the user's to see."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "PAYMENT_NOT_FOUND"
    message = "There is no such payment."


class CardNumberRefusedError(PaymentsError):
    """A card number stands where none belongs; nothing of it is kept or repeated."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "CARD_NUMBER_REFUSED"
    message = "A card number was sent where a token belongs; nothing of it was kept."

    def __init__(self, field: str) -> None:
        super().__init__(metadata={"field": field})


class UnknownCurrencyError(PaymentsError):
    """The currency is not in the table."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_CURRENCY"
    message = "The currency is not supported."


class IdempotencyKeyReusedError(PaymentsError):
    """The key came with another request before."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "IDEMPOTENCY_KEY_REUSED"
    message = "The idempotency key was used with another request."


class IdempotencyKeyInUseError(PaymentsError):
    """The first call with this key still runs; a RetryInfo says when to try again."""

    code = grpc.StatusCode.ABORTED
    reason = "IDEMPOTENCY_KEY_IN_USE"
    message = "The first call with this idempotency key still runs."

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(retry_after_seconds=retry_after_seconds)


class ProviderUnavailableError(PaymentsError):
    """The provider, or bank-link, gave no answer that can be relied on."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "PROVIDER_UNAVAILABLE"
    message = "The payment provider did not answer; repeat with the same idempotency key."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retry_after_seconds=1.0)


class LedgerUnavailableError(PaymentsError):
    """The ledger gave no answer that can be relied on."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "LEDGER_UNAVAILABLE"
    message = "The ledger did not answer; repeat with the same idempotency key."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retry_after_seconds=1.0)
