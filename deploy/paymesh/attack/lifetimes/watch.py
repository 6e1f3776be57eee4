"""What is seen of a credential at its end, against what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

from paymesh.attack.lifetimes.attempts import CLOSED, UNANSWERED, Try
from paymesh.attack.lifetimes.place import Place

# Certificates and tokens end with a second, and a try takes a while on a busy machine.
_TOLERANCE_SECONDS = 1.5


class Watch:
    """What was seen, and what of it should not have been."""

    def __init__(self, place: Place, callee: str, end: float) -> None:
        """Args:
        place: where it is used.
        callee: whose app is to carry the calls out.
        end: of the credential, seconds since the epoch.
        """
        self._place = place
        self._callee = callee
        self._end = end
        self.measured: list[str] = []
        self.contradicted: list[str] = []

    def ends(self, what: str, tries: Sequence[Try]) -> None:
        """Good until its end, and never after."""
        answered = [one.began for one in tries if one.outcome == "OK"]
        refused = [one.began for one in tries if one.outcome not in {"OK", UNANSWERED}]
        if not answered or not refused:
            self._wrong(what, tries)
            return
        self.measured.append(
            f"{what} accepted until {_offset(max(answered) - self._end)} its end,"
            f" refused from {_offset(min(refused) - self._end)}"
        )
        last, first = max(answered) - self._end, min(refused) - self._end
        if last > _TOLERANCE_SECONDS or first < -_TOLERANCE_SECONDS:
            self._wrong(what, tries)

    def goes_on(self, what: str, tries: Sequence[Try]) -> None:
        """Not refused at its end, nor later, for as long as was tried."""
        after = [one.ended - self._end for one in tries if one.outcome == "OK"]
        if not after or max(after) < 0 or tries[-1].outcome not in {"OK", UNANSWERED}:
            self._wrong(what, tries)
            return
        self.measured.append(f"{what}: still answered {_offset(max(after))} its end")

    def cut_off(
        self, what: str, tries: Sequence[Try], *, after_seconds: float, closed: bool = True
    ) -> None:
        """Answered past its end, but no longer than this since the connection was opened."""
        answered = [one.ended for one in tries if one.outcome == "OK"]
        lived = max(answered) - tries[0].began if answered else 0.0
        self.measured.append(
            f"{what}: answered for {lived:.1f} s,"
            f" until {_offset(max(answered, default=self._end) - self._end)} its end"
        )
        over = tries[-1].outcome == CLOSED if closed else tries[-1].outcome != "OK"
        if not answered or not over or abs(lived - after_seconds) > _TOLERANCE_SECONDS:
            self._wrong(what, tries)

    def executed(self, attempts: Sequence[Sequence[Try]]) -> None:
        """Every answer was a call that the app carried out, and nothing that was refused."""
        tries = [one for found in attempts for one in found]
        ran, answered = self._place.executed(self._callee, tries), good(tries)
        unknown = sum(one.outcome == UNANSWERED for one in tries)
        self.measured.append(f"{self._callee} carried out {ran} of {len(tries)} calls")
        if not answered <= ran <= answered + unknown:
            self.contradicted.append(f"{answered} calls were answered and {ran} carried out")

    def _wrong(self, what: str, tries: Sequence[Try]) -> None:
        told: list[str] = []
        before = ""
        for one in tries:
            word = f"{one.outcome} {one.reason}".strip()
            if word != before:
                told.append(f"{word} from {_offset(one.began - self._end)} its end")
            before = word
        self.contradicted.append(f"{what}: {', then '.join(told) or 'nothing came of it'}")


def good(tries: Sequence[Try]) -> int:
    """How many were answered."""
    return sum(one.outcome == "OK" for one in tries)


def _offset(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'after' if seconds >= 0 else 'before'}"
