"""Everything that the ledger refuses; one status and one reason for each class.

MeshError
├── UnbalancedTransferError   INVALID_ARGUMENT     UNBALANCED_TRANSFER
├── CurrencyMismatchError     INVALID_ARGUMENT     CURRENCY_MISMATCH
├── DuplicateAccountError     INVALID_ARGUMENT     DUPLICATE_ACCOUNT
├── ZeroLegError              INVALID_ARGUMENT     ZERO_LEG
├── AmountOutOfRangeError     INVALID_ARGUMENT     AMOUNT_OUT_OF_RANGE
├── InvalidRequest
│   └── InvalidTransferError  INVALID_ARGUMENT     INVALID_REQUEST
├── AccountNotFoundError      NOT_FOUND            ACCOUNT_NOT_FOUND
├── RequestIdReusedError      ALREADY_EXISTS       REQUEST_ID_REUSED
├── CrossEntityTransferError  FAILED_PRECONDITION  CROSS_ENTITY_TRANSFER
└── BalanceOutOfRangeError    OUT_OF_RANGE         BALANCE_OUT_OF_RANGE

From meshkit come UNKNOWN_CURRENCY, INVALID_PAGE_TOKEN, OBJECT_DENIED,
POLICY_ENGINE_UNAVAILABLE, DATABASE_UNAVAILABLE and the rest. The reasons are
documented at the RPCs in protos/paymesh/ledger/v1/ledger.proto; to rename one
is a breaking change. The messages are fixed; which account or currency it was
stands in ErrorInfo's metadata.
"""

from __future__ import annotations

import grpc

from meshkit.errors import InvalidRequest, MeshError


class UnbalancedTransferError(MeshError):
    """The legs do not sum to zero in some currency."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNBALANCED_TRANSFER"
    message = "The legs do not sum to zero in each currency."


class CurrencyMismatchError(MeshError):
    """A leg is in another currency than its account."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "CURRENCY_MISMATCH"
    message = "A leg is in another currency than its account."


class DuplicateAccountError(MeshError):
    """Two legs of one transfer name the same account."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "DUPLICATE_ACCOUNT"
    message = "An account has more than one leg."


class ZeroLegError(MeshError):
    """A leg of nothing."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "ZERO_LEG"
    message = "A leg is zero."


class AmountOutOfRangeError(MeshError):
    """A leg whose opposite is no int64."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "AMOUNT_OUT_OF_RANGE"
    message = "A leg or its opposite does not fit into 64 bits."


class InvalidTransferError(InvalidRequest):
    """The request has not the form of a transfer; `field` is `legs` or `reference`."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__("The request is not a transfer.", [(field, description)])


class AccountNotFoundError(MeshError):
    """There is no such account, or it is not the caller's to see: the same answer to both."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "ACCOUNT_NOT_FOUND"
    message = "There is no such account."


class RequestIdReusedError(MeshError):
    """The same caller used the request id before, with other contents."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "REQUEST_ID_REUSED"
    message = "The request id was used before, with other contents."


class CrossEntityTransferError(MeshError):
    """The accounts belong to more than one legal entity."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "CROSS_ENTITY_TRANSFER"
    message = "The accounts belong to more than one legal entity."


class BalanceOutOfRangeError(MeshError):
    """The entries add up to more than an int64 holds; they are all there and can be listed."""

    code = grpc.StatusCode.OUT_OF_RANGE
    reason = "BALANCE_OUT_OF_RANGE"
    message = "The entries add up to more than 64 bits hold."
