# METADATA
# title: May this caller make this RPC?
# description: >-
#   Asked by Envoy for every request (ext_authz). Everything is refused that no grant of
#   data.paymesh.grants allows, and every refusal has a reason code from reasons.rego.
package paymesh.authz

# METADATA
# description: >-
#   The answer in the form of the OPA-Envoy contract: allowed, reason, headers, and on a refusal body
#   and http_status. `user` is the verified end user or null, for the decision log; the plugin ignores it.
# entrypoint: true
# scope: document
default decision := {
	"allowed": false,
	"reason": "POLICY_ERROR",
	"headers": {"x-paymesh-reason": "POLICY_ERROR"},
	"body": "POLICY_ERROR: The policy could not decide.",
	"http_status": 403,
	"dynamic_metadata": {"reason": "POLICY_ERROR", "grant": "", "caller": "", "user": ""},
	"user": null,
}

decision := {
	"allowed": true,
	"reason": "ALLOWED",
	"grant": _verdict.grant,
	"headers": {
		"x-paymesh-caller": input.attributes.source.principal,
		"x-paymesh-grant": _verdict.grant,
		"x-paymesh-user": user.sub,
		"x-paymesh-tenant": user.tenant,
		"x-paymesh-roles": concat(",", user.roles),
	},
	"request_headers_to_remove": [],
	"dynamic_metadata": {
		"reason": "ALLOWED",
		"grant": _verdict.grant,
		"caller": caller,
		"user": user.sub,
	},
	"user": user,
} if {
	_verdict.reason == "ALLOWED"
	token_present
} else := {
	"allowed": true,
	"reason": "ALLOWED",
	"grant": _verdict.grant,
	"headers": {
		"x-paymesh-caller": input.attributes.source.principal,
		"x-paymesh-grant": _verdict.grant,
	},
	# Envoy strips these from what a caller sends; removing them again costs nothing and does not
	# depend on it.
	"request_headers_to_remove": ["x-paymesh-user", "x-paymesh-tenant", "x-paymesh-roles"],
	"dynamic_metadata": {
		"reason": "ALLOWED",
		"grant": _verdict.grant,
		"caller": caller,
		"user": "",
	},
	"user": null,
} if {
	_verdict.reason == "ALLOWED"
} else := {
	"allowed": false,
	"reason": _verdict.reason,
	"headers": {"x-paymesh-reason": _verdict.reason},
	"body": concat(": ", [_verdict.reason, reasons[_verdict.reason].sentence]),
	"http_status": reasons[_verdict.reason].http_status,
	"dynamic_metadata": {
		"reason": _verdict.reason,
		"grant": "",
		"caller": _caller_or_empty,
		"user": _user_name,
	},
	"user": _user_or_null,
}

# From the outermost question to the innermost: who calls, is it a gRPC call, is there a grant, do
# its conditions hold. Any one grant is enough; a refusal names what the first grant lacks.
_verdict := {"reason": caller_problem} if {
	not caller
} else := {"reason": "NOT_A_GRPC_CALL"} if {
	not is_grpc_call
} else := {"reason": ungranted_reason} if {
	count(candidates) == 0
} else := {"reason": "ALLOWED", "grant": grant} if {
	grant := [grant.id | some grant in candidates; _grant_reason(grant) == "ALLOWED"][0]
} else := {"reason": _grant_reason(candidates[0])}

# The first condition that does not hold. When all hold, a token that came along must still be a
# good one, or a service would go by claims that nobody has verified.
_grant_reason(grant) := problem if {
	problem := [reason |
		some name in grant.conditions
		reason := _condition_reason(name)
		reason != "ALLOWED"
	][0]
} else := token_reason if {
	token_present
} else := "ALLOWED"

# A name without a rule must refuse, not vanish from the list.
default _condition_reason(_) := "POLICY_ERROR"

_condition_reason(name) := condition[name]

default _caller_or_empty := ""

_caller_or_empty := caller

default _user_name := ""

_user_name := user.sub

default _user_or_null := null

_user_or_null := user
