package paymesh.objects_test

import data.paymesh.objects

environment := {
	"trust_domain": "paymesh.internal",
	"namespace": "paymesh",
	"workloads": ["gateway", "payments", "ledger", "bank-link", "statements"],
}

id_of(workload) := concat("", ["spiffe://paymesh.internal/ns/paymesh/sa/", workload])

people := {
	"alice": {"sub": "alice", "tenant": "acme", "roles": ["customer"]},
	"anna": {"sub": "anna", "tenant": "acme", "roles": ["customer"]},
	"olivia": {"sub": "olivia", "tenant": "acme", "roles": ["operator"]},
	"audrey": {"sub": "audrey", "tenant": "acme", "roles": ["auditor"]},
	"bob": {"sub": "bob", "tenant": "globex", "roles": ["customer"]},
	"oscar": {"sub": "oscar", "tenant": "globex", "roles": ["operator"]},
	"visitor": {"sub": "alice", "tenant": "acme", "roles": ["visitor"]},
	"no roles": {"sub": "alice", "tenant": "acme", "roles": []},
	"nobody": null,
}

decide(question) := decision if {
	decision := objects.decision with input as question with data.paymesh.environment as environment
}

allowed := {"allowed": true, "reason": "ALLOWED"}

denied := {"allowed": false, "reason": "OBJECT_DENIED"}

# Everybody else and every other caller is swept too, and has to be denied.
cases := {
	"own payment": {
		"action": "payments.read",
		"object": {"tenant": "acme", "owner": "alice"},
		"allowed": {"gateway": {"alice", "olivia", "audrey"}},
	},
	"list of own payments": {
		"action": "payments.list",
		"object": {"tenant": "acme", "owner": "alice"},
		"allowed": {"gateway": {"alice", "olivia", "audrey"}},
	},
	"list of a tenant's payments": {
		"action": "payments.list",
		"object": {"tenant": "acme"},
		"allowed": {"gateway": {"olivia", "audrey"}},
	},
	"payment of no tenant": {"action": "payments.read", "object": {"owner": "alice"}, "allowed": {}},
	"refund": {
		"action": "payments.refund",
		"object": {"tenant": "acme", "owner": "alice"},
		"allowed": {"gateway": {"olivia"}},
	},
	"own link": {
		"action": "links.read",
		"object": {"tenant": "acme", "owner": "alice", "state": "PENDING"},
		"allowed": {"gateway": {"alice"}, "payments": {"alice"}},
	},
	"own link without a tenant": {
		"action": "links.verify",
		"object": {"owner": "alice"},
		"allowed": {"gateway": {"alice"}, "payments": {"alice"}},
	},
	"link of another tenant's namesake": {
		"action": "links.remove",
		"object": {"tenant": "globex", "owner": "alice"},
		"allowed": {},
	},
	"link of nobody": {"action": "links.read", "object": {"tenant": "acme"}, "allowed": {}},
	"verified link": {
		"action": "links.use",
		"object": {"tenant": "acme", "owner": "alice", "state": "SUCCESS"},
		"allowed": {"gateway": {"alice"}, "payments": {"alice"}},
	},
	"pending link": {
		"action": "links.use",
		"object": {"tenant": "acme", "owner": "alice", "state": "PENDING"},
		"allowed": {},
	},
	"link without a state": {
		"action": "links.use",
		"object": {"tenant": "acme", "owner": "alice"},
		"allowed": {},
	},
	"account": {
		"action": "accounts.read",
		"object": {"tenant": "acme", "kind": "MERCHANT"},
		"allowed": {
			"gateway": {"olivia", "audrey"},
			"payments": {"alice", "anna", "olivia", "audrey", "visitor", "no roles", "nobody"},
			"statements": {"nobody"},
		},
	},
	"post": {
		"action": "accounts.post",
		"object": {"tenant": "acme", "kind": "CLEARING"},
		"allowed": {"payments": {"alice", "anna", "olivia", "audrey", "visitor", "no roles", "nobody"}},
	},
	"merchant account": {
		"action": "accounts.open",
		"object": {"tenant": "acme", "kind": "MERCHANT"},
		"allowed": {"gateway": {"olivia"}},
	},
	"clearing account": {
		"action": "accounts.open",
		"object": {"tenant": "acme", "kind": "CLEARING"},
		"allowed": {"payments": {"alice", "anna", "olivia", "audrey", "visitor", "no roles", "nobody"}},
	},
	"account of another kind": {"action": "accounts.open", "object": {"tenant": "acme", "kind": "OTHER"}, "allowed": {}},
	"account without a kind": {"action": "accounts.open", "object": {"tenant": "acme"}, "allowed": {}},
}

test_objects[note] if {
	some note, case in cases
	every workload in environment.workloads {
		every name, user in people {
			question := {"action": case.action, "caller": id_of(workload), "user": user, "object": case.object}
			decide(question) == expected(case, workload, name)
		}
	}
}

expected(case, workload, name) := allowed if {
	name in case.allowed[workload]
} else := denied

payments_callers := {"alice", "anna", "olivia", "audrey", "visitor", "no roles", "nobody"}

# Who may do what with an object of which every fact is stated and in order: a rule that forgot to
# look at the action would let more through.
by_action := {
	"payments.read": {"gateway": {"alice", "olivia", "audrey"}},
	"payments.list": {"gateway": {"alice", "olivia", "audrey"}},
	"payments.refund": {"gateway": {"olivia"}},
	"links.read": {"gateway": {"alice"}, "payments": {"alice"}},
	"links.use": {"gateway": {"alice"}, "payments": {"alice"}},
	"links.verify": {"gateway": {"alice"}, "payments": {"alice"}},
	"links.remove": {"gateway": {"alice"}, "payments": {"alice"}},
	"accounts.read": {
		"gateway": {"olivia", "audrey"},
		"payments": payments_callers,
		"statements": {"nobody"},
	},
	"accounts.post": {"payments": payments_callers},
	"accounts.open MERCHANT": {"gateway": {"olivia"}},
	"accounts.open CLEARING": {"payments": payments_callers},
}

test_an_action_is_never_taken_for_another[note] if {
	some action in objects.actions
	some kind in ["MERCHANT", "CLEARING"]
	note := concat(" ", [action, kind])
	row := object.get(by_action, note, object.get(by_action, action, {}))
	facts := {"tenant": "acme", "owner": "alice", "state": "SUCCESS", "kind": kind}
	every workload in environment.workloads {
		every name, user in people {
			question := {"action": action, "caller": id_of(workload), "user": user, "object": facts}
			decide(question) == expected({"allowed": row}, workload, name)
		}
	}
}

test_every_action_is_tried if {
	{case.action | some case in cases} == objects.actions
}

test_a_caller_that_is_not_a_workload_is_denied[caller] if {
	some caller in ["", "payments", "spiffe://evil.test/ns/paymesh/sa/payments", id_of("intruder"), id_of("payments/")]
	question := {"action": "accounts.read", "caller": caller, "user": null, "object": {"tenant": "acme"}}
	decide(question) == denied
}

test_a_user_that_was_left_out_is_not_no_user if {
	decide({"action": "accounts.read", "caller": id_of("statements"), "object": {"tenant": "acme"}}) == denied
}

test_empty_facts_match_nothing[note] if {
	nameless := {"sub": "", "tenant": "", "roles": ["customer", "operator", "auditor"]}
	some note, user in {
		"neither": nameless,
		"no tenant": object.union(nameless, {"sub": "alice"}),
		"no name": object.union(nameless, {"tenant": "acme"}),
	}
	every action in objects.actions {
		question := {
			"action": action,
			"caller": id_of("gateway"),
			"user": user,
			"object": {"tenant": "", "owner": "", "state": "SUCCESS", "kind": "MERCHANT"},
		}
		decide(question) == denied
	}
}

test_an_unknown_action_is_the_services_mistake[note] if {
	some note, question in {
		"unknown": {"action": "payments.delete", "caller": id_of("gateway"), "user": people.olivia, "object": {"tenant": "acme"}},
		"none": {},
	}
	decide(question) == {"allowed": false, "reason": "POLICY_ERROR"}
}
