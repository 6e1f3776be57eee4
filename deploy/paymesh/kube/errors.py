"""What can go wrong with a cluster.

PaymeshError
└── ClusterError        a sentence that names the cluster's side of it
    ├── Unreachable     no answer from the API server
    ├── Forbidden       the user of this context may not do it
    ├── NotFound        there is no such object, or no such kind
    ├── Conflict        somebody else manages a field, or the object changed meanwhile
    ├── Invalid         the API server or an admission policy refused the object
    └── Stuck           something will not come up; names pod, container, event and log line
"""

from __future__ import annotations

from paymesh.errors import PaymeshError


class ClusterError(PaymeshError):
    """The cluster refused, or did not answer."""


class Unreachable(ClusterError):
    """No answer from the API server."""


class Forbidden(ClusterError):
    """The user of this context may not do it."""


class NotFound(ClusterError):
    """There is no such object, or no such kind."""


class Conflict(ClusterError):
    """Somebody else manages a field, or the object changed meanwhile.

    `causes` are the API server's own lines, one for each field.
    """

    def __init__(self, message: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.causes = causes


class Invalid(ClusterError):
    """The API server or an admission policy refused the object."""


class Stuck(ClusterError):
    """Something will not come up."""
