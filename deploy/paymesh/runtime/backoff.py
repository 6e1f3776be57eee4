"""How long to wait before a process that died is started again."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Backoff:
    """Exponential: `first_seconds`, then doubled each time up to `most_seconds`.

    A process that ran for `stable_seconds` is forgiven what went before.
    """

    first_seconds: float = 0.2
    most_seconds: float = 30.0
    stable_seconds: float = 30.0
    _next_seconds: float = 0.0

    def after(self, ran_seconds: float) -> float:
        """Seconds to wait now that the process has ended after running for `ran_seconds`."""
        if ran_seconds < 0:
            raise ValueError(f"a process cannot run for {ran_seconds} s")
        if ran_seconds >= self.stable_seconds or self._next_seconds <= 0:
            self._next_seconds = self.first_seconds
        wait = self._next_seconds
        self._next_seconds = min(2 * wait, self.most_seconds)
        return wait

    def reset(self) -> None:
        """Forgets everything: somebody asked for a start."""
        self._next_seconds = 0.0

    @property
    def is_reset(self) -> bool:
        """Whether nothing has failed since the last `reset`."""
        return self._next_seconds <= 0
