"""What an Envoy's HTTP filters make of a call: header_mutation, jwt_authn, ext_authz."""

from __future__ import annotations

import dataclasses
import re

from paymesh.attack.computed.doors import matches
from paymesh.attack.computed.messages import AUTHORIZATION, NOT_READ, Call
from paymesh.attack.computed.oracle import Oracle
from paymesh.attack.computed.routes import Route, add
from paymesh.attack.computed.site import Config, at, items
from paymesh.errors import ConfigError
from paymesh.mesh import Users

_PREFIX = "envoy.filters.http."
# They neither refuse a plain gRPC call nor change who is taken to make it.
_IRRELEVANT = frozenset({"router", "local_ratelimit", "grpc_json_transcoder"})
DECISION_ID = "x-paymesh-decision-id"


class Filters:
    """The filters of any Envoy, with the policy that they ask and the users' issuer."""

    def __init__(self, oracle: Oracle, users: Users) -> None:
        self._oracle = oracle
        self._users = users
        self._known: dict[tuple[int, tuple[tuple[str, str], ...]], tuple[tuple[str, str], ...]] = {}

    def passed(self, manager: Config, route: Route, principal: str, call: Call) -> Call | None:
        """The call behind all filters; None when one refuses it.

        Raises:
            Pending: the policy has to be asked first.
        """
        found: Call | None = call
        for one in items(manager, "http_filters"):
            name, config = one["name"], at(one, "typed_config") or {}
            own = route.filter_configs.get(name) or {}
            kind = name.removeprefix(_PREFIX)
            if own.get("disabled") or one.get("disabled") or kind in _IRRELEVANT:
                continue
            if kind == "header_mutation":
                found = self._mutated(config, call)
            elif kind == "jwt_authn":
                found = self._with_token(config, call)
            elif kind == "ext_authz":
                found = self._permitted(config, own, principal, call)
            else:
                raise ConfigError(f"nobody knows here what the filter {name} does")
            if found is None:
                return None
            call = found
        return found

    def _mutated(self, config: Config, call: Call) -> Call:
        """There are few combinations of headers, and many calls."""
        key = id(config), call.headers
        if key not in self._known:
            self._known[key] = mutated(config, call).headers
        return dataclasses.replace(call, headers=self._known[key])

    def _with_token(self, config: Config, call: Call) -> Call | None:
        """jwt_authn: the first rule that fits the path says what is required."""
        for rule in items(config, "rules"):
            match = rule["match"]
            if set(match) - {"prefix", "path"}:
                raise ConfigError(f"nobody knows here what fits a rule's {sorted(match)}")
            if call.path.startswith(match.get("prefix", "")) and call.path == match.get(
                "path", call.path
            ):
                if not self._satisfied(config, rule.get("requires"), call):
                    return None
                break
        providers = (at(config, "providers") or {}).values()
        if call.user is not None and not any(provider.get("forward") for provider in providers):
            return call.having({k: v for k, v in call.headers if k != AUTHORIZATION})
        return call

    def _satisfied(self, config: Config, required: Config | None, call: Call) -> bool:
        if not required:
            return True
        (kind, value), *others = required.items()
        if others:
            raise ConfigError(f"nobody knows here what satisfies {sorted(required)}")
        if kind == "provider_name":
            return call.user is not None and self._issues(at(config, "providers", value) or {})
        if kind in {"requires_any", "requires_all"}:
            found = [self._satisfied(config, one, call) for one in items(value, "requirements")]
            return any(found) if kind == "requires_any" else all(found)
        if kind in {"allow_missing", "allow_missing_or_failed"}:
            return call.user is None or kind == "allow_missing_or_failed"
        raise ConfigError(f"nobody knows here what satisfies {kind}")

    def _issues(self, provider: Config) -> bool:
        """Whether the users' tokens are this provider's (paymesh.users signs them)."""
        audiences = items(provider, "audiences")
        return provider.get("issuer") == self._users.issuer and (
            not audiences or self._users.audience in audiences
        )

    def _permitted(self, config: Config, own: Config, principal: str, call: Call) -> Call | None:
        """ext_authz: what the policy allows, with the headers that it sets."""
        settings = at(own, "check_settings")
        is_read = at(config, "with_request_body") and not at(
            settings, "disable_request_body_buffering"
        )
        others = {name: value for name, value in call.headers if name != AUTHORIZATION}
        decision = self._oracle.decision(
            principal, call.path, call.body if is_read else NOT_READ, call.user, others
        )
        if decision.get("allowed") is not True:
            return None
        headers = dict(call.headers)
        for name in decision.get("request_headers_to_remove", ()):
            headers.pop(name, None)
        # The decision point itself adds the decision's number (policies/pdp/decision).
        said = {**decision.get("headers", {}), DECISION_ID: "0"}
        rules = at(config, "decoder_header_mutation_rules")
        headers |= {name: value for name, value in said.items() if _may_set(rules, name)}
        return call.having(headers)


def mutated(config: Config, call: Call) -> Call:
    """header_mutation: what it takes away and adds."""
    headers = dict(call.headers)
    for rule in items(config, "mutations", "request_mutations"):
        if "remove" in rule:
            headers.pop(rule["remove"].lower(), None)
        elif "remove_on_match" in rule:
            matcher = rule["remove_on_match"]["key_matcher"]
            headers = {name: v for name, v in headers.items() if not matches(matcher, name)}
        elif "append" in rule:
            add(headers, rule["append"])
        else:
            raise ConfigError(f"nobody knows here what the header rule {sorted(rule)} does")
    return call.having(headers)


def _may_set(rules: Config | None, name: str) -> bool:
    """Envoy's HeaderMutationRules: which headers an answer of ext_authz may set."""
    if not rules:
        return True
    allowed, refused = at(rules, "allow_expression"), at(rules, "disallow_expression")
    if refused and re.fullmatch(refused["regex"], name):
        return False
    if allowed and re.fullmatch(allowed["regex"], name):
        return True
    return not rules.get("disallow_all")
