package paymesh.authz_test

import data.paymesh.authz

create_payment := "/paymesh.payments.v1.PaymentsService/CreatePayment"

get_balance := "/paymesh.ledger.v1.LedgerService/GetBalance"

health := "/grpc.health.v1.Health/Check"

euros(minor_units) := {"amount": {"currencyCode": "EUR", "minorUnits": minor_units}}

# The whole answer, spelled out once without the fixtures' help.
test_an_allowed_call_carries_the_verified_user if {
	decide(request(gateway, create_payment, bearer("alice"), euros("1250"))) == {
		"allowed": true,
		"reason": "ALLOWED",
		"grant": "user-create-payment",
		"headers": {
			"x-paymesh-caller": "spiffe://paymesh.internal/ns/paymesh/sa/gateway",
			"x-paymesh-grant": "user-create-payment",
			"x-paymesh-user": "alice",
			"x-paymesh-tenant": "acme",
			"x-paymesh-roles": "customer",
		},
		"request_headers_to_remove": [],
		"dynamic_metadata": {
			"reason": "ALLOWED",
			"grant": "user-create-payment",
			"caller": "gateway",
			"user": "alice",
		},
		"user": {"sub": "alice", "tenant": "acme", "roles": ["customer"]},
	}
}

test_a_refused_call_says_why_and_no_more if {
	decide(request(gateway, create_payment, no_headers, euros("1250"))) == {
		"allowed": false,
		"reason": "USER_TOKEN_MISSING",
		"headers": {"x-paymesh-reason": "USER_TOKEN_MISSING"},
		"body": "USER_TOKEN_MISSING: This call needs an end user's token.",
		"http_status": 401,
		"dynamic_metadata": {
			"reason": "USER_TOKEN_MISSING",
			"grant": "",
			"caller": "gateway",
			"user": "",
		},
		"user": null,
	}
}

test_a_call_without_a_user_removes_the_users_headers if {
	decide(request(statements, get_balance, no_headers, {})) == allowed("statements-get-balance", "statements", null)
}

test_callers_are_compared_byte_for_byte[principal] if {
	some principal, reason in {
		"": "NO_CALLER_IDENTITY",
		"payments": "NO_CALLER_IDENTITY",
		"SPIFFE://paymesh.internal/ns/paymesh/sa/gateway": "NO_CALLER_IDENTITY",
		"https://paymesh.internal/ns/paymesh/sa/gateway": "NO_CALLER_IDENTITY",
		"spiffe://evil.test/ns/paymesh/sa/gateway": "FOREIGN_TRUST_DOMAIN",
		"spiffe://paymesh.internal": "FOREIGN_TRUST_DOMAIN",
		"spiffe://paymesh.internal.evil.test/ns/paymesh/sa/gateway": "FOREIGN_TRUST_DOMAIN",
		"spiffe://PAYMESH.internal/ns/paymesh/sa/gateway": "FOREIGN_TRUST_DOMAIN",
		"spiffe://paymesh.internal/": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/intruder": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/Gateway": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/gateway/": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/gateway ": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/gateway\u0000": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/./gateway": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa//gateway": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/x/../gateway": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/%67ateway": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal//ns/paymesh/sa/gateway": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/other/sa/gateway": "UNKNOWN_CALLER",
		"spiffe://paymesh.internal/ns/paymesh/sa/gateway,spiffe://paymesh.internal/ns/paymesh/sa/payments": "UNKNOWN_CALLER",
	}
	decide(request(principal, health, no_headers, {})) == refused(reason, "", null)
}

test_a_caller_without_any_certificate_is_refused if {
	unknown := json.remove(request(gateway, health, no_headers, {}), ["/attributes/source"])
	decide(unknown) == refused("NO_CALLER_IDENTITY", "", null)
}

test_an_environment_that_is_missing_refuses_everybody if {
	decision := authz.decision with input as request(gateway, health, no_headers, {})
	decision == refused("POLICY_ERROR", "", null)
}

test_who_nobody_can_be_is_said_only_of_a_whole_environment if {
	without_trust_domain := authz.caller_problem with input as request(gateway, health, no_headers, {})
		with data.paymesh.environment as object.remove(environment, ["trust_domain"])
	without_trust_domain == "POLICY_ERROR"
	without_namespace := authz.caller_problem with input as request(gateway, health, no_headers, {})
		with data.paymesh.environment as object.remove(environment, ["namespace"])
	without_namespace == "UNKNOWN_CALLER"
}

test_paths_are_compared_byte_for_byte[path] if {
	some path, reason in {
		"/grpc.health.v1.Health/Check/": "NOT_A_GRPC_CALL",
		"//grpc.health.v1.Health/Check": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health//Check": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health%2FCheck": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/%43heck": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/Check?": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/Check?a=b": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/Check#a": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/Check;a": "NOT_A_GRPC_CALL",
		"//Check": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/": "NOT_A_GRPC_CALL",
		"/x/../grpc.health.v1.Health/Check": "NOT_A_GRPC_CALL",
		"/./grpc.health.v1.Health/Check": "NOT_A_GRPC_CALL",
		"grpc.health.v1.Health/Check": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/Check\n": "NOT_A_GRPC_CALL",
		"": "NOT_A_GRPC_CALL",
		"/grpc.health.v1.Health/check": "RPC_NOT_GRANTED",
		"/GRPC.health.v1.Health/Check": "RPC_NOT_GRANTED",
		"/grpc.health.v1.Health/Checks": "RPC_NOT_GRANTED",
		"/grpc.health.v1.Health/Watch": "RPC_CLOSED",
		"/grpc.health.v1.Health/List": "RPC_CLOSED",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "RPC_CLOSED",
	}
	decide(request(gateway, path, no_headers, {})) == refused(reason, "gateway", null)
}

test_another_callers_grant_is_no_grant if {
	post_transfer := "/paymesh.ledger.v1.LedgerService/PostTransfer"
	decide(request(gateway, post_transfer, bearer("olivia"), {})) == refused("RPC_NOT_GRANTED", "gateway", users.olivia)
	decide(request(statements, health, no_headers, {})) == refused("RPC_NOT_GRANTED", "statements", null)
}

test_only_plain_grpc_is_a_call[patch] if {
	some patch in [
		{"op": "replace", "path": "/attributes/request/http/method", "value": "GET"},
		{"op": "replace", "path": "/attributes/request/http/method", "value": "post"},
		{"op": "remove", "path": "/attributes/request/http/method"},
		{"op": "remove", "path": "/attributes/request/http/path"},
		{"op": "remove", "path": "/attributes/request/http/headers/content-type"},
		{"op": "remove", "path": "/attributes/request/http/headers"},
		{"op": "add", "path": "/attributes/request/http/headers/content-type", "value": "application/json"},
		{"op": "add", "path": "/attributes/request/http/headers/content-type", "value": "application/grpc-web"},
		{"op": "add", "path": "/attributes/request/http/headers/content-type", "value": "application/grpc+json"},
		{"op": "add", "path": "/attributes/request/http/headers/content-type", "value": "application/grpc; a=application/json"},
		{"op": "add", "path": "/attributes/request/http/headers/content-type", "value": "application/grpc,application/grpc"},
		{"op": "add", "path": "/attributes/request/http/headers/grpc-encoding", "value": "gzip"},
		{"op": "add", "path": "/attributes/request/http/headers/grpc-encoding", "value": "identity,gzip"},
	]
	input_document := json.patch(request(gateway, health, no_headers, {}), [patch])
	decide(input_document) == refused("NOT_A_GRPC_CALL", "gateway", null)
}

test_the_other_names_of_plain_grpc_are_calls[headers] if {
	some headers in [
		{"content-type": "application/grpc+proto"},
		{"grpc-encoding": "identity"},
	]
	decide(request(gateway, health, headers, {})) == allowed("gateway-health", "gateway", null)
}

test_a_token_that_nobody_asked_for_still_has_to_be_good if {
	decide(request(gateway, health, bearer("alice"), {})) == allowed("gateway-health", "gateway", users.alice)
	bad := {"authorization": "Bearer a.b.c"}
	decide(request(gateway, health, bad, {})) == refused("USER_TOKEN_INVALID", "gateway", null)
	old := bearer_with(object.union(claims_of("alice"), {"exp": now_s - 1}))
	decide(request(gateway, health, old, {})) == refused("USER_TOKEN_EXPIRED", "gateway", null)
}

two_grants := [
	{"id": "first", "caller": "payments", "rpc": "/a.B/C", "conditions": ["user_is_auditor", "body_readable"]},
	{"id": "second", "caller": "payments", "rpc": "/a.B/C", "conditions": ["no_user", "body_readable"]},
]

decide_with_grants(grants, input_document) := decision if {
	decision := decide(input_document) with data.paymesh.grants.grants as grants
}

test_any_one_grant_is_enough if {
	with_user := request(payments, "/a.B/C", bearer("audrey"), {})
	decide_with_grants(two_grants, with_user) == allowed("first", "payments", users.audrey)
	without := request(payments, "/a.B/C", no_headers, {})
	decide_with_grants(two_grants, without) == allowed("second", "payments", null)
}

test_a_refusal_names_what_the_first_grant_lacks if {
	neither := request(payments, "/a.B/C", bearer("alice"), null)
	decide_with_grants(two_grants, neither) == refused("USER_ROLE_MISSING", "payments", users.alice)
	unreadable := request(payments, "/a.B/C", bearer("audrey"), null)
	decide_with_grants(two_grants, unreadable) == refused("BODY_UNREADABLE", "payments", users.audrey)
}

test_a_condition_without_a_rule_refuses if {
	grants := [{"id": "typo", "caller": "payments", "rpc": "/a.B/C", "conditions": ["user_is_custmer"]}]
	decide_with_grants(grants, request(payments, "/a.B/C", bearer("alice"), {})) == refused("POLICY_ERROR", "payments", users.alice)
}

test_the_index_decides_as_the_list_does if {
	grant := {"id": "indexed", "caller": "payments", "rpc": "/a.B/C", "conditions": ["no_user"]}
	index := {"built": true, "grants": {"/a.B/C": {"payments": [grant]}}}
	granted := decide(request(payments, "/a.B/C", no_headers, {})) with data.paymesh.index as index
	granted == allowed("indexed", "payments", null)
	other_caller := decide(request(gateway, "/a.B/C", no_headers, {})) with data.paymesh.index as index
	other_caller == refused("RPC_NOT_GRANTED", "gateway", null)
	only_listed := decide(request(gateway, health, no_headers, {})) with data.paymesh.index as index
	only_listed == refused("RPC_NOT_GRANTED", "gateway", null)
	unfinished := decide(request(payments, "/a.B/C", no_headers, {})) with data.paymesh.index as object.remove(index, ["built"])
	unfinished == refused("RPC_NOT_GRANTED", "payments", null)
}

test_the_index_closes_as_the_list_does if {
	index := {"built": true, "grants": {}, "closed": {"/a.B/C": true}}
	closed := decide(request(payments, "/a.B/C", no_headers, {})) with data.paymesh.index as index
	closed == refused("RPC_CLOSED", "payments", null)
	only_listed := "/grpc.health.v1.Health/List"
	decide(request(payments, only_listed, no_headers, {})) == refused("RPC_CLOSED", "payments", null)
	not_indexed := decide(request(payments, only_listed, no_headers, {})) with data.paymesh.index as index
	not_indexed == refused("RPC_NOT_GRANTED", "payments", null)
}

test_an_error_within_the_policy_refuses_with_a_reason if {
	decision := decide(request(payments, health, no_headers, {})) with data.paymesh.authz.reasons as {}
	decision == refused("POLICY_ERROR", "", null)
}

test_every_reason_has_a_sentence_and_a_status_of_its_kind if {
	every code, reason in authz.reasons {
		regex.match(`^[A-Z][A-Z_]+$`, code)
		regex.match(`^[A-Z][^:]+\.$`, reason.sentence)
		reason.http_status == expected_status(code)
	}
}

expected_status(code) := 200 if {
	code == "ALLOWED"
} else := 401 if {
	startswith(code, "USER_TOKEN_")
} else := 403
