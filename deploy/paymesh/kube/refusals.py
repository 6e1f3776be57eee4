"""What the API server answers when it does not do as it was told, as one sentence."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from paymesh.kube.errors import ClusterError, Conflict, Forbidden, Invalid, NotFound, Unreachable

# The authorizer's words, as against those of an admission policy.
_NOT_ALLOWED = " is forbidden: User "
_LONGEST = 600
_MOST_CAUSES = 4


def error(status: int, body: bytes, what: str, context: str) -> ClusterError:
    """The error that fits a status other than 2xx.

    Args:
        status: of HTTP.
        body: a Status object (Kubernetes API, meta/v1), or anything.
        what: was to be done, as in "apply Deployment paymesh/ledger".
        context: of the kubeconfig.
    """
    said, causes = _read(body)
    found: ClusterError
    match status:
        case HTTPStatus.UNAUTHORIZED:
            found = Forbidden(
                f"context {context!r} is not let in: its certificate or token is no longer valid"
            )
        case HTTPStatus.FORBIDDEN if _NOT_ALLOWED in said:
            found = Forbidden(f"the user of context {context!r} may not {what}: {said}")
        case HTTPStatus.NOT_FOUND:
            found = NotFound(f"cannot {what}: {said}")
        case HTTPStatus.CONFLICT:
            lines = tuple(str(cause.get("message", "")) for cause in causes)
            found = Conflict(f"cannot {what}: {said}", lines)
        case HTTPStatus.FORBIDDEN | HTTPStatus.UNPROCESSABLE_ENTITY | HTTPStatus.BAD_REQUEST:
            found = Invalid(f"the cluster refused to {what}: {said}")
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            found = Unreachable(f"the API server is too busy to {what}: {said}")
        case _:
            found = ClusterError(f"cannot {what}: the API server answers {status}: {said}")
    return found


def conflict(found: Conflict, subject: str) -> Conflict:
    """A conflict of field managers, with what to do about it."""
    shown = [cause.replace("\n", " ") for cause in found.causes[:_MOST_CAUSES]]
    more = len(found.causes) - len(shown)
    rest = f" and {more} more" if more > 0 else ""
    return Conflict(
        f"somebody else has changed {subject}: {'; '.join(shown) or found}{rest}."
        " Undo that change, or run `paymesh deploy --take-over` to set these fields back",
        found.causes,
    )


def is_conflict_of(error: Conflict, managers: frozenset[str]) -> bool:
    """Whether nobody but these field managers stands in the way."""
    return bool(error.causes) and all(
        any(f'conflict with "{name}"' in cause for name in managers) for cause in error.causes
    )


def of_stream(found: BaseException) -> str:
    """Why a stream was not opened: the API server's message is somewhere in the handshake's."""
    message = re.search(r'"message":"((?:[^"\\\\]|\\\\.)*)"', str(found))
    return message[1].replace("\\", "") if message else in_short(found)


def in_short(found: BaseException) -> str:
    """The end of a chain of wrapped errors: the one that says something."""
    reason: Any = found
    while getattr(reason, "reason", None) is not None and isinstance(reason.reason, Exception):
        reason = reason.reason
    text = " ".join(str(reason).split())
    return text.rpartition("object at ")[2].partition(">: ")[2] or text[:_LONGEST]


def _read(body: bytes) -> tuple[str, list[dict[str, Any]]]:
    try:
        status = json.loads(body)
        message = str(status["message"])
        causes = (status.get("details") or {}).get("causes") or []
    except (ValueError, KeyError, TypeError):
        return body[:_LONGEST].decode(errors="replace").strip() or "no reason given", []
    return " ".join(message.split())[:_LONGEST], causes
