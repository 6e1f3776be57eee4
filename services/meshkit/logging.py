"""Structured logs: one JSON object a line on stderr, without secrets.

Everything that is logged, by structlog or by the standard library, goes through
`redact`: bearer tokens, JWTs, providers' keys, passwords in DSNs, private keys
and whatever passes for a card number.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from meshkit.cards import mask_card_numbers

REDACTED = "[redacted]"

_MAX_DEPTH = 6
_MAX_TEXT_LENGTH = 8192
_SECRET_KEY = re.compile(
    r"authorization|cookie|passw(or)?d|secret|token|api_?key|private_?key|credential|^dsn$|conninfo"
    r"|forwarded.client.cert",
    re.IGNORECASE,
)
# Made by machines, and likely to pass for a card number now and then.
_MACHINE_MADE_KEYS = frozenset({"trace_id", "decision_id", "correlation_id", "timestamp"})
# What has to be in the text (in lower case) for a pattern to be worth trying, the
# pattern, and its replacement: most lines have none of it, and every call is a line.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # PostgreSQL quotes the row that broke a rule, with whatever is in it.
    (("detail:",), re.compile(r"DETAIL:[^\n]*"), f"DETAIL: {REDACTED}"),
    (
        ("bearer", "basic"),
        re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+"),
        rf"\1 {REDACTED}",
    ),
    (
        ("eyj",),
        re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
        REDACTED,
    ),
    (
        ("k_", "whsec_"),
        re.compile(r"\b(?:sk|rk|pk|whsec)_[A-Za-z0-9_+/=-]{4,}"),
        REDACTED,
    ),
    (
        ("public-", "access-", "link-"),
        re.compile(r"\b(?:public|access|link)-(?:sandbox|development|production)-[\w-]+"),
        REDACTED,
    ),
    (
        ("passw", "pwd"),
        re.compile(r"""(?i)\b(password|passwd|pwd)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&;,]+)"""),
        rf"\1={REDACTED}",
    ),
    (
        ("://",),
        re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s:/@]*):[^\s/@]+@"),
        rf"\1:{REDACTED}@",
    ),
    (
        ("-----begin",),
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        REDACTED,
    ),
)


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger: `get_logger(__name__).info("event in words", key=value)`."""
    logger: FilteringBoundLogger = structlog.get_logger(logger_name=name)
    return logger


def configure(level: str, workload: str) -> None:
    """Send structlog's and the standard library's records to stderr as JSON. Call once."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(workload),
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,
        redact_event,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Redact a whole log event; a structlog processor."""
    return {key: _redact_value(str(key), value, 0) for key, value in event.items()}


def redact(text: str) -> str:
    """Return the text without secrets and card numbers."""
    lower = text.lower()
    for signs, pattern, replacement in _PATTERNS:
        for sign in signs:
            if sign in lower:
                text = pattern.sub(replacement, text)
                break
    return mask_card_numbers(text, REDACTED)


def _redact_value(key: str, value: Any, depth: int) -> Any:
    if key in _MACHINE_MADE_KEYS or value is None or isinstance(value, bool | float):
        return value
    if _is_secret(key) or depth >= _MAX_DEPTH:
        return REDACTED
    if isinstance(value, Mapping):
        return {
            redact(str(inner)): _redact_value(str(inner), item, depth + 1)
            for inner, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value("", item, depth + 1) for item in value]
    # Redacted before it is cut: half a token is no longer recognised as one.
    text = redact(str(value)[: 2 * _MAX_TEXT_LENGTH])[:_MAX_TEXT_LENGTH]
    # A number stays one unless it passes for a card's.
    return value if isinstance(value, int) and text == str(value) else text


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _named(workload: str) -> Processor:
    def add_workload(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("workload", workload)
        return event

    return add_workload
