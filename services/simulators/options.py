"""The command line, parsed once into a frozen object."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from simulators.errors import StartError

CARD_PROCESSOR = "card-processor"
BANK_DATA = "bank-data"

_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_LARGEST_PORT = 65535


@dataclasses.dataclass(frozen=True)
class Options:
    """Where to listen and where things stand.

    `key_digests` maps a provider's name to the SHA-256 (32 bytes) of the API
    key that it accepts: the key itself is never on this side.
    """

    address: str
    cards_port: int
    banks_port: int
    tls_dir: Path
    state_dir: Path
    key_digests: Mapping[str, bytes] = dataclasses.field(repr=False)


def parse(arguments: Sequence[str]) -> Options:
    """Reads the command line and the keys file.

    Raises:
        StartError: the keys file cannot be read or lacks a provider.
        SystemExit: argparse refused the command line.
    """
    parser = argparse.ArgumentParser(prog="simulators", allow_abbrev=False)
    parser.add_argument("--address", default="127.0.0.1", help="IP address to listen at")
    parser.add_argument("--cards-port", type=_port, required=True, help="of the card processor")
    parser.add_argument("--banks-port", type=_port, required=True, help="of the bank data provider")
    parser.add_argument(
        "--tls-dir", type=Path, required=True, help="has cards.crt, cards.key, banks.crt, banks.key"
    )
    parser.add_argument("--state-dir", type=Path, required=True, help="what survives a restart")
    parser.add_argument(
        "--keys", type=Path, required=True, help="JSON: provider to SHA-256 (hex) of its API key"
    )
    given = parser.parse_args(arguments)
    return Options(
        address=given.address,
        cards_port=given.cards_port,
        banks_port=given.banks_port,
        tls_dir=given.tls_dir,
        state_dir=given.state_dir,
        key_digests=_read_digests(given.keys),
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port <= _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{port} is not a port")
    return port


def _read_digests(path: Path) -> dict[str, bytes]:
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(f"the keys file {path} cannot be read: {type(error).__name__}") from error
    digests: dict[str, bytes] = {}
    for provider in (CARD_PROCESSOR, BANK_DATA):
        digest = parsed.get(provider) if isinstance(parsed, dict) else None
        if not isinstance(digest, str) or not _SHA256_HEX.fullmatch(digest):
            raise StartError(f"the keys file {path} lacks the SHA-256 (hex) of {provider}'s key")
        digests[provider] = bytes.fromhex(digest)
    return digests
