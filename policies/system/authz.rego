# METADATA
# title: Who may use OPA's own REST API?
# description: >-
#   The workload that this OPA belongs to, for the one question that a service asks, for health and for
#   the status: which revision is in force, and what went wrong with a later one or with the log.
#   Everything else is closed: policies, data, compile, queries, metrics. Health and metrics are open
#   where the environment says so: in a pod, whose kubelet has no token and asks on a port of its own.
package system.authz

# METADATA
# description: OPA asks this before it serves anything (--authorization=basic).
# entrypoint: true
# scope: document
default allow := false

# Query parameters such as `explain` show more than the answer, so there may be none but
# `provenance`, which says the revision of the policy that answered.
allow if {
	_is_owner
	input.method == "POST"
	input.path == ["v1", "data", "paymesh", "objects", "decision"]
	object.keys(input.params) - {"provenance"} == set()
}

allow if {
	_is_owner
	input.method == "GET"
	input.path == ["health"]
}

allow if {
	_is_owner
	input.method == "GET"
	input.path == ["v1", "status"]
	input.params == {}
}

allow if {
	# trap: ok, nondeterministic: asked before any bundle is there, about this process; never replayed
	opa.runtime().env.PAYMESH_PDP_DIAGNOSTICS == "open"
	input.method == "GET"
	input.path in [["health"], ["metrics"]]
	object.keys(input.params) - {"bundles", "plugins"} == set()
}

# OPA is given the token's hash, so that neither its environment nor a dump of it holds the token.
_is_owner if {
	# trap: ok, nondeterministic: what this process was started with is the question
	crypto.sha256(input.identity) == opa.runtime().env.PAYMESH_PDP_TOKEN_SHA256
}
