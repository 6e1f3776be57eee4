"""Which route of an Envoy a call takes, and what the route does to its headers."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from paymesh.attack.computed.doors import matches
from paymesh.attack.computed.messages import Call
from paymesh.attack.computed.site import Config, at, items
from paymesh.errors import ConfigError

_METHOD = "POST"
_OVERWRITE, _IF_ABSENT = "OVERWRITE_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT"
_OVERWRITE_ONLY = "OVERWRITE_IF_EXISTS"


@dataclasses.dataclass(frozen=True)
class Route:
    """Where a call goes; no `cluster` when it is answered on the spot."""

    cluster: str | None
    filter_configs: Config
    header_rules: tuple[Config, ...]

    def sent(self, call: Call) -> Call:
        """The call as it leaves the Envoy."""
        headers = dict(call.headers)
        for rules in self.header_rules:
            for name in items(rules, "request_headers_to_remove"):
                headers.pop(name.lower(), None)
            for rule in items(rules, "request_headers_to_add"):
                add(headers, rule)
        return call.having(headers)


def route_of(manager: Config, call: Call) -> Route | None:
    """The first route that fits; None where nobody answers."""
    config = at(manager, "route_config")
    host = _host(items(config, "virtual_hosts"), call.authority)
    for route in items(host, "routes"):
        if _fits(route["match"], call):
            # Nearest first: route, virtual host, all.
            rules = (route, host or {}, config)
            return Route(
                at(route, "route", "cluster"), at(route, "typed_per_filter_config") or {}, rules
            )
    return None


def add(headers: dict[str, str], rule: Config) -> None:
    """Envoy's HeaderValueOption."""
    name, value = rule["header"]["key"].lower(), rule["header"]["value"]
    action = rule.get("append_action")
    if action == _OVERWRITE or name not in headers:
        if not (action == _OVERWRITE_ONLY and name not in headers):
            headers[name] = value
    elif action == _OVERWRITE_ONLY:
        headers[name] = value
    elif action != _IF_ABSENT:
        headers[name] = f"{headers[name]},{value}"


def _host(hosts: list[Config], authority: str) -> Config | None:
    for wanted in (authority, "*"):
        for host in hosts:
            if wanted in items(host, "domains"):
                return host
    return None


def _fits(match: Config, call: Call) -> bool:
    known = {"path", "prefix", "safe_regex", "grpc", "headers"}
    if set(match) - known:
        raise ConfigError(f"nobody knows here what fits a route's {sorted(set(match) - known)}")
    if "grpc" in match and not call.is_grpc:
        return False
    path_fits = (
        match.get("path", call.path) == call.path
        and call.path.startswith(match.get("prefix", ""))
        and ("safe_regex" not in match or _full(match["safe_regex"], call.path))
    )
    return path_fits and all(_header_fits(header, call) for header in items(match, "headers"))


def _header_fits(header: Config, call: Call) -> bool:
    sent = dict(call.headers) | {
        ":method": _METHOD,
        ":path": call.path,
        ":authority": call.authority,
        "content-type": "application/grpc" if call.is_grpc else "application/json",
    }
    value: Any = sent.get(header["name"])
    inverted = bool(header.get("invert_match"))
    if "present_match" in header:
        return ((value is not None) is bool(header["present_match"])) is not inverted
    if value is None:
        if not header.get("treat_missing_header_as_empty"):
            return False
        value = ""
    if "string_match" not in header:
        raise ConfigError(f"nobody knows here what header fits {sorted(header)}")
    return matches(header["string_match"], value) != inverted


def _full(pattern: Config, text: str) -> bool:
    return re.fullmatch(pattern["regex"], text) is not None
