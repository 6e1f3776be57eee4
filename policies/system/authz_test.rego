package system.authz_test

import data.system.authz

token := "b3duZXI"

question := {
	"method": "POST",
	"path": ["v1", "data", "paymesh", "objects", "decision"],
	"params": {},
	"identity": token,
}

health := {"method": "GET", "path": ["health"], "params": {"plugins": [""], "bundles": [""]}, "identity": token}

answer(request) := allow if {
	allow := authz.allow with input as request with opa.runtime as {"env": {"PAYMESH_PDP_TOKEN_SHA256": crypto.sha256(token)}}
}

status := {"method": "GET", "path": ["v1", "status"], "params": {}, "identity": token}

test_the_owner_may_ask_the_one_question_for_health_and_for_the_status if {
	answer(question) == true
	answer(object.union(question, {"params": {"provenance": ["true"]}})) == true
	answer(health) == true
	answer(status) == true
}

test_everything_else_is_closed_to_the_owner[request] if {
	some request in [
		object.union(question, {"method": "GET"}),
		object.union(question, {"method": "PUT"}),
		object.union(question, {"params": {"explain": ["full"]}}),
		object.union(question, {"params": {"explain": ["full"], "provenance": ["true"]}}),
		object.remove(question, ["params"]),
		object.union(question, {"path": ["v0", "data", "paymesh", "objects", "decision"]}),
		object.union(question, {"path": ["v1", "data", "paymesh", "objects"]}),
		object.union(question, {"path": ["v1", "data", "paymesh", "objects", "decision", ""]}),
		object.union(question, {"path": ["v1", "data", "paymesh", "objects", "decision", "allowed"]}),
		object.union(question, {"path": ["v1", "data", "", "paymesh", "objects", "decision"]}),
		object.union(question, {"path": ["v1", "data", "paymesh/objects", "decision"]}),
		object.union(question, {"path": ["v1", "data", "paymesh", "environment"]}),
		object.union(question, {"path": ["v1", "data"]}),
		object.union(question, {"path": ["v1", "policies"]}),
		object.union(question, {"path": ["v1", "query"]}),
		object.union(question, {"path": ["v1", "compile"]}),
		object.union(question, {"path": ["v1", "config"]}),
		object.union(question, {"path": ["metrics"]}),
		object.union(question, {"path": []}),
		object.union(question, {"path": [""]}),
		object.union(status, {"method": "POST"}),
		object.union(status, {"params": {"pretty": ["true"]}}),
		object.remove(status, ["params"]),
		object.union(status, {"path": ["v1", "status", ""]}),
		object.union(status, {"path": ["v1", "status", "bundles"]}),
		object.union(health, {"method": "POST"}),
		object.union(health, {"path": ["health", ""]}),
		object.union(health, {"path": ["health", "live"]}),
		{},
	]
	answer(request) == false
}

test_nobody_else_may_ask_anything[note] if {
	some note, change in {
		"another token": {"identity": "c3RyYW5nZXI"},
		"the hash itself": {"identity": crypto.sha256(token)},
		"an empty token": {"identity": ""},
		"no string": {"identity": 7},
	}
	answer(object.union(question, change)) == false
	answer(object.union(health, change)) == false
	answer(object.union(status, change)) == false
}

test_no_token_is_no_owner if {
	answer(object.remove(question, ["identity"])) == false
	answer(object.remove(health, ["identity"])) == false
	answer(object.remove(status, ["identity"])) == false
}

test_without_a_hash_everything_is_closed[env] if {
	some env in [{}, {"PAYMESH_PDP_TOKEN_SHA256": ""}, {"PAYMESH_PDP_TOKEN_SHA256": token}]
	allow := authz.allow with input as question with opa.runtime as {"env": env}
	allow == false
}

opened(request) := allow if {
	allow := authz.allow with input as request with opa.runtime as {"env": {"PAYMESH_PDP_DIAGNOSTICS": "open"}}
}

probe := object.remove(health, ["identity"])

test_where_diagnostics_are_open_anybody_may_ask_for_health_and_metrics if {
	opened(probe) == true
	opened(object.union(probe, {"path": ["metrics"]})) == true
	opened({"method": "GET", "path": ["health"], "params": {}}) == true
}

test_open_diagnostics_open_nothing_else[request] if {
	some request in [
		question,
		object.remove(question, ["identity"]),
		status,
		object.union(probe, {"method": "POST"}),
		object.union(probe, {"path": ["health", "live"]}),
		object.union(probe, {"path": ["metrics", ""]}),
		object.union(probe, {"path": ["v1", "status"]}),
		object.union(probe, {"path": ["v1", "config"]}),
		object.union(probe, {"path": []}),
		object.union(probe, {"params": {"explain": ["full"]}}),
		object.remove(probe, ["params"]),
		{},
	]
	opened(request) == false
}

test_diagnostics_are_closed_unless_the_environment_says_open[value] if {
	some value in ["", "Open", "true", "1", true, null]
	env := {"PAYMESH_PDP_TOKEN_SHA256": crypto.sha256(token), "PAYMESH_PDP_DIAGNOSTICS": value}
	allow := authz.allow with input as probe with opa.runtime as {"env": env}
	allow == false
}
