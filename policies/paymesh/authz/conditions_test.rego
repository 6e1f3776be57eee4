package paymesh.authz_test

import data.paymesh.authz
import data.paymesh.grants

# The reason of one condition by itself, for a user's name (or false) and a message.
reason_of(name, user, body) := reason if {
	headers := _headers_of(user)
	reason := authz.condition[name] with input as request(gateway, "/a.B/C", headers, body)
		with data.paymesh.environment as environment
		with time.now_ns as now_s * 1000000000
}

_headers_of(user) := bearer(user) if {
	user
} else := {}

test_every_condition_that_a_grant_names_has_a_rule if {
	count(grants.grants) > 0
	every grant in grants.grants {
		every name in grant.conditions {
			name in object.keys(authz.condition)
		}
	}
}

test_every_condition_answers_every_input_with_a_reason if {
	inputs := [{}, null, {"attributes": 1, "parsed_body": []}, request(gateway, "/a.B/C", bearer("alice"), {"amount": 1, "legs": 1})]
	every document in inputs {
		found := authz.condition with input as document with data.paymesh.environment as environment
		object.keys(found) == all_conditions
		every reason in found {
			reason in object.keys(authz.reasons)
		}
	}
}

all_conditions := {
	"user_is_customer",
	"user_is_operator",
	"user_is_auditor",
	"user_is_staff",
	"user_is_known",
	"no_user",
	"body_readable",
	"amount_within_user_limit",
	"amount_within_refund_limit",
	"legs_within_transfer_limit",
	"account_in_user_tenant",
	"account_kind_merchant",
	"account_kind_clearing",
}

test_roles if {
	expected := {
		"user_is_customer": {"alice"},
		"user_is_operator": {"olivia"},
		"user_is_auditor": {"audrey"},
		"user_is_staff": {"olivia", "audrey"},
		"user_is_known": {"alice", "olivia", "audrey"},
	}
	every condition, names in expected {
		reason_of(condition, false, {}) == "USER_TOKEN_MISSING"
		{name | some name, _ in users; reason_of(condition, name, {}) == "ALLOWED"} == names
		{name | some name, _ in users; reason_of(condition, name, {}) == "USER_ROLE_MISSING"} == object.keys(users) - names
	}
}

test_no_user_minds_any_authorization_header if {
	reason_of("no_user", false, {}) == "ALLOWED"
	reason_of("no_user", "alice", {}) == "USER_NOT_EXPECTED"
	every value in ["", "Bearer", "Bearer a.b.c", "Basic YTpi"] {
		headers := {"authorization": value}
		reason := authz.condition.no_user with input as request(gateway, "/a.B/C", headers, {})
		reason == "USER_NOT_EXPECTED"
	}
}

test_body_readable if {
	reason_of("body_readable", false, {}) == "ALLOWED"
	reason_of("body_readable", false, null) == "BODY_UNREADABLE"
	reason_of("body_readable", false, []) == "BODY_UNREADABLE"
	reason_of("body_readable", false, "{}") == "BODY_UNREADABLE"
	document := request(gateway, "/a.B/C", {}, {})
	absent := authz.condition.body_readable with input as object.remove(document, ["parsed_body"])
	absent == "BODY_UNREADABLE"
	truncated := authz.condition.body_readable with input as object.union(document, {"truncated_body": true})
	truncated == "BODY_UNREADABLE"
	unsaid := authz.condition.body_readable with input as object.remove(document, ["truncated_body"])
	unsaid == "BODY_UNREADABLE"
}

amount_cases := {
	"one": {"money": {"currencyCode": "EUR", "minorUnits": "1"}, "reason": "ALLOWED"},
	"the limit": {"money": {"currencyCode": "EUR", "minorUnits": "1000000"}, "reason": "ALLOWED"},
	"one over": {"money": {"currencyCode": "EUR", "minorUnits": "1000001"}, "reason": "AMOUNT_OVER_LIMIT"},
	"the currency's own limit": {"money": {"currencyCode": "KWD", "minorUnits": "3000000"}, "reason": "ALLOWED"},
	"beyond 2^53": {"money": {"currencyCode": "EUR", "minorUnits": "9007199254740993"}, "reason": "AMOUNT_OVER_LIMIT"},
	"the largest int64": {"money": {"currencyCode": "EUR", "minorUnits": "9223372036854775807"}, "reason": "AMOUNT_OVER_LIMIT"},
	"negative": {"money": {"currencyCode": "EUR", "minorUnits": "-1"}, "reason": "AMOUNT_OVER_LIMIT"},
	"the smallest int64": {"money": {"currencyCode": "EUR", "minorUnits": "-9223372036854775808"}, "reason": "AMOUNT_OVER_LIMIT"},
	"zero is absent": {"money": {"currencyCode": "EUR"}, "reason": "BODY_UNREADABLE"},
	"empty": {"money": {}, "reason": "BODY_UNREADABLE"},
	"null": {"money": null, "reason": "BODY_UNREADABLE"},
	"false": {"money": false, "reason": "BODY_UNREADABLE"},
	"no object": {"money": "1", "reason": "BODY_UNREADABLE"},
	"a list": {"money": [{"currencyCode": "EUR", "minorUnits": "1"}], "reason": "BODY_UNREADABLE"},
	"a number": {"money": {"currencyCode": "EUR", "minorUnits": 1}, "reason": "BODY_UNREADABLE"},
	"more digits than an int64 has": {"money": {"currencyCode": "EUR", "minorUnits": "10000000000000000000"}, "reason": "BODY_UNREADABLE"},
	"zero": {"money": {"currencyCode": "EUR", "minorUnits": "0"}, "reason": "BODY_UNREADABLE"},
	"a fraction": {"money": {"currencyCode": "EUR", "minorUnits": "1.5"}, "reason": "BODY_UNREADABLE"},
	"an exponent": {"money": {"currencyCode": "EUR", "minorUnits": "1e3"}, "reason": "BODY_UNREADABLE"},
	"a plus sign": {"money": {"currencyCode": "EUR", "minorUnits": "+1"}, "reason": "BODY_UNREADABLE"},
	"two signs": {"money": {"currencyCode": "EUR", "minorUnits": "--1"}, "reason": "BODY_UNREADABLE"},
	"a space": {"money": {"currencyCode": "EUR", "minorUnits": " 1"}, "reason": "BODY_UNREADABLE"},
	"hexadecimal": {"money": {"currencyCode": "EUR", "minorUnits": "0x1"}, "reason": "BODY_UNREADABLE"},
	"proto names": {"money": {"currency_code": "EUR", "minor_units": "1"}, "reason": "BODY_UNREADABLE"},
	"no currency": {"money": {"minorUnits": "1"}, "reason": "BODY_UNREADABLE"},
	"currency is a number": {"money": {"currencyCode": 978, "minorUnits": "1"}, "reason": "BODY_UNREADABLE"},
	"unknown currency": {"money": {"currencyCode": "XXX", "minorUnits": "1"}, "reason": "CURRENCY_HAS_NO_LIMIT"},
	"currency in small letters": {"money": {"currencyCode": "eur", "minorUnits": "1"}, "reason": "CURRENCY_HAS_NO_LIMIT"},
}

test_amounts[note] if {
	some note, case in amount_cases
	reason_of("amount_within_user_limit", false, {"amount": case.money}) == case.reason
	reason_of("amount_within_refund_limit", false, {"amount": case.money}) == case.reason
}

# Today's are the same for both.
test_a_payment_and_a_refund_have_limits_of_their_own if {
	limits := {"user_payment": {"EUR": 2}, "refund": {"EUR": 1}, "transfer_leg": {"EUR": 0}}
	two := {"amount": {"currencyCode": "EUR", "minorUnits": "2"}}
	payment := reason_of("amount_within_user_limit", false, two) with data.paymesh.grants.limits as limits
	payment == "ALLOWED"
	refund := reason_of("amount_within_refund_limit", false, two) with data.paymesh.grants.limits as limits
	refund == "AMOUNT_OVER_LIMIT"
}

test_a_payment_needs_an_amount_and_a_refund_does_not if {
	reason_of("amount_within_user_limit", false, {}) == "BODY_UNREADABLE"
	reason_of("amount_within_user_limit", false, null) == "BODY_UNREADABLE"
	reason_of("amount_within_refund_limit", false, {}) == "ALLOWED"
	reason_of("amount_within_refund_limit", false, null) == "BODY_UNREADABLE"
}

leg(minor_units) := {"accountId": "a", "amount": {"currencyCode": "EUR", "minorUnits": minor_units}}

leg_cases := {
	"balanced": {"legs": [leg("5000000"), leg("-5000000")], "reason": "ALLOWED"},
	"one leg": {"legs": [leg("1")], "reason": "ALLOWED"},
	"over in credit": {"legs": [leg("5000001"), leg("-1")], "reason": "AMOUNT_OVER_LIMIT"},
	"over in debit": {"legs": [leg("1"), leg("-5000001")], "reason": "AMOUNT_OVER_LIMIT"},
	"the smallest int64": {"legs": [leg("1"), leg("-9223372036854775808")], "reason": "AMOUNT_OVER_LIMIT"},
	"two signs": {"legs": [leg("1"), leg("--1")], "reason": "BODY_UNREADABLE"},
	"a zero leg": {"legs": [leg("1"), {"accountId": "a", "amount": {"currencyCode": "EUR"}}], "reason": "BODY_UNREADABLE"},
	"a leg without amount": {"legs": [leg("1"), {"accountId": "a"}], "reason": "BODY_UNREADABLE"},
	"a leg of another type": {"legs": [leg("1"), 1], "reason": "BODY_UNREADABLE"},
	"a currency without limit": {
		"legs": [leg("1"), {"amount": {"currencyCode": "XXX", "minorUnits": "1"}}],
		"reason": "CURRENCY_HAS_NO_LIMIT",
	},
	"unreadable before over": {"legs": [leg("5000001"), {}], "reason": "BODY_UNREADABLE"},
	"no legs": {"legs": [], "reason": "BODY_UNREADABLE"},
	"legs of another type": {"legs": 7, "reason": "BODY_UNREADABLE"},
}

test_legs[note] if {
	some note, case in leg_cases
	reason_of("legs_within_transfer_limit", false, {"legs": case.legs}) == case.reason
}

test_a_transfer_needs_legs if {
	reason_of("legs_within_transfer_limit", false, {}) == "BODY_UNREADABLE"
	reason_of("legs_within_transfer_limit", false, null) == "BODY_UNREADABLE"
}

test_account_in_user_tenant if {
	own := {"legalEntity": "acme"}
	reason_of("account_in_user_tenant", "olivia", own) == "ALLOWED"
	reason_of("account_in_user_tenant", false, own) == "USER_TOKEN_MISSING"
	reason_of("account_in_user_tenant", "olivia", {"legalEntity": "globex"}) == "OTHER_TENANT"
	reason_of("account_in_user_tenant", "olivia", {"legalEntity": "ACME"}) == "OTHER_TENANT"
	reason_of("account_in_user_tenant", "olivia", {"legalEntity": ["acme"]}) == "OTHER_TENANT"
	reason_of("account_in_user_tenant", "olivia", {}) == "OTHER_TENANT"
	reason_of("account_in_user_tenant", "olivia", null) == "BODY_UNREADABLE"
}

test_account_kinds if {
	merchant := {"kind": "ACCOUNT_KIND_MERCHANT"}
	clearing := {"kind": "ACCOUNT_KIND_CLEARING"}
	reason_of("account_kind_merchant", false, merchant) == "ALLOWED"
	reason_of("account_kind_clearing", false, clearing) == "ALLOWED"
	every body in [clearing, {}, {"kind": 1}, {"kind": "account_kind_merchant"}] {
		reason_of("account_kind_merchant", false, body) == "ACCOUNT_KIND_REFUSED"
	}
	every body in [merchant, {}, {"kind": 2}] {
		reason_of("account_kind_clearing", false, body) == "ACCOUNT_KIND_REFUSED"
	}
	reason_of("account_kind_merchant", false, null) == "BODY_UNREADABLE"
	reason_of("account_kind_clearing", false, null) == "BODY_UNREADABLE"
}
