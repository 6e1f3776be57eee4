"""Why a measurement is worth nothing."""

from __future__ import annotations

from paymesh.errors import PaymeshError


class ProbeError(PaymeshError):
    """Something was not tried, not answered or contradicts itself: there is no graph then,
    because what was not seen must not pass for what was refused.
    """
