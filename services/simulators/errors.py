"""What can go wrong.

SimulatorError
├── StartError                          the process cannot start; the text says what to do
└── ApiError                            an HTTP answer: status, type, code
    ├── InvalidRequestError     400     invalid_request_error
    ├── IdempotencyMisuseError  400     idempotency_error
    ├── UnauthorisedError       401     authentication_error
    ├── NotFoundError           404     invalid_request_error
    ├── ConflictError           409     idempotency_error, key_in_use
    └── InjectedFaultError      500     api_error, asked for by the token that was sent
"""

from __future__ import annotations


class SimulatorError(Exception):
    """Root of this package's errors."""


class StartError(SimulatorError):
    """The process cannot start."""


class ApiError(SimulatorError):
    """An error answer; never holds anything of the request's values."""

    status = 500
    type = "api_error"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def body(self) -> dict[str, object]:
        """The JSON body: {"error": {"type", "code", "message"}}."""
        return {"error": {"type": self.type, "code": self.code, "message": self.message}}


class InvalidRequestError(ApiError):
    """The parameters are not right; nothing was executed."""

    status = 400
    type = "invalid_request_error"


class IdempotencyMisuseError(ApiError):
    """The key was used with other parameters."""

    status = 400
    type = "idempotency_error"


class UnauthorisedError(ApiError):
    """No API key, or one that is not known here."""

    status = 401
    type = "authentication_error"


class NotFoundError(ApiError):
    """There is no such object."""

    status = 404
    type = "invalid_request_error"


class ConflictError(ApiError):
    """A call with the same key is still running."""

    status = 409
    type = "idempotency_error"


class InjectedFaultError(ApiError):
    """The failure that the token asked for; nothing was executed."""
