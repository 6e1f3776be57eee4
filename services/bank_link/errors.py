"""Everything that bank-link refuses; one status and one reason for each class.

MeshError
├── InvalidRequest
│   └── InvalidPublicTokenError  INVALID_ARGUMENT     INVALID_REQUEST
├── CredentialsRefusedError      INVALID_ARGUMENT     CREDENTIALS_REFUSED
├── RequestIdReusedError         ALREADY_EXISTS       REQUEST_ID_REUSED
├── PublicTokenRejectedError     FAILED_PRECONDITION  PUBLIC_TOKEN_REJECTED
├── LinkRemovedError             FAILED_PRECONDITION  LINK_REMOVED
├── LinkNotFoundError            NOT_FOUND            LINK_NOT_FOUND
└── ProviderUnavailableError     UNAVAILABLE          PROVIDER_UNAVAILABLE

From meshkit come INVALID_PAGE_TOKEN, POLICY_ENGINE_UNAVAILABLE,
DATABASE_UNAVAILABLE and the rest that every service has. The reasons are
documented at the RPCs in protos/paymesh/bank_link/v1/bank_link.proto; to rename
one is a breaking change. The messages are fixed: nothing of what was sent
comes back, because it may be a login.
"""

from __future__ import annotations

import grpc

from meshkit.errors import InvalidRequest, MeshError


class InvalidPublicTokenError(InvalidRequest):
    """It begins as a public token and does not end as one."""

    def __init__(self) -> None:
        description = "It is not `public-` and 8 to 96 of A-Z, a-z, 0-9 and hyphen."
        super().__init__("The public token is malformed.", [("public_token", description)])


class CredentialsRefusedError(MeshError):
    """A login, a card or an account number where a token belongs."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "CREDENTIALS_REFUSED"
    message = (
        "Something that may be a login, a card or an account number stands where the provider's"
        " token belongs; nothing of it was kept."
    )


class RequestIdReusedError(MeshError):
    """The user used the request id before: for another link, or for one removed since."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "REQUEST_ID_REUSED"
    message = "The request id was used before, with other contents or for a link removed since."


class PublicTokenRejectedError(MeshError):
    """The provider does not know the token, or not any more."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "PUBLIC_TOKEN_REJECTED"
    message = "The bank data provider rejected the public token: link the bank anew."


class LinkRemovedError(MeshError):
    """The link was removed, or its removal has begun."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "LINK_REMOVED"
    message = "The link was removed."


class LinkNotFoundError(MeshError):
    """There is no such link, or it is not the user's to see: the same answer to both."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "LINK_NOT_FOUND"
    message = "There is no such link."


class ProviderUnavailableError(MeshError):
    """The provider did not answer, or not in a way that can be understood."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "PROVIDER_UNAVAILABLE"
    message = "The bank data provider did not answer as it should; the same call may be repeated."
