package system.log_test

import data.paymesh.log as ours
import data.system.log

request(headers, body) := {
	"attributes": {"request": {"http": {
		"path": "/paymesh.ledger.v1.LedgerService/PostTransfer",
		"headers": headers,
	}}},
	"parsed_body": body,
}

event(document) := {"path": "paymesh/authz/decision", "input": document, "result": {"allowed": true}}

masked(an_event) := mask if {
	mask := log.mask with input as an_event
}

plain(document) := {concat("", ["/input", pointer]) |
	mask := ours.mask with input as document
	some pointer in (mask.erase | mask.leave_out)
}

test_what_our_log_erases_opa_erases_too if {
	document := request(
		{"authorization": "Bearer a.b.c", "x-api-key": "1"},
		{"description": "a", "legalEntity": "4111111111111111"},
	)
	mask := masked(event(document))
	mask == plain(document)
	{
		"/input/attributes/request/http/headers/authorization",
		"/input/attributes/request/http/headers/x-api-key",
		"/input/parsed_body/description",
		"/input/parsed_body/legalEntity",
	} - mask == set()
}

test_what_opa_cannot_address_goes_with_all_around_it[note] if {
	some note, [document, path] in {
		"a name with a slash": [request({"a/b": "1"}, {}), "/input/attributes/request/http/headers"],
		"a name with a tilde": [request({"a~b": "1"}, {}), "/input/attributes/request/http/headers"],
		"a name with a percent sign": [request({"%zz": "1"}, {}), "/input/attributes/request/http/headers"],
		"a name that is empty": [request({"": "1"}, {}), "/input/attributes/request/http/headers"],
		"a name of digits": [request({"4111111111111111": "1"}, {}), "/input/attributes/request/http/headers"],
		"a part of a leg": [request({}, {"legs": [{"accountId": "4111111111111111"}]}), "/input/parsed_body/legs"],
		"a field with a slash": [request({}, {"a/b": "1"}), "/input/parsed_body"],
	}
	expected := {found | some found in plain(document); regex.match(`^(/[A-Za-z:_.-][A-Za-z0-9:_.-]*)+$`, found)} | {path}
	masked(event(document)) == expected
}

test_what_nobody_foresaw_is_not_recorded_at_all if {
	mask := log.mask with input as event({}) with data.paymesh.log.mask as {"erase": {"/50%"}, "leave_out": set()}
	mask == {"/input"}
}

test_without_our_mask_the_input_is_not_recorded if {
	mask := log.mask with input as event(request({}, {})) with data.paymesh.log as {}
	mask == {"/input"}
}

test_the_decision_on_an_object_is_recorded_whole if {
	question := {"caller": "spiffe://a/b", "action": "payments.read", "user": null, "object": {"owner": "a"}}
	masked({"path": "paymesh/objects/decision", "input": question, "result": {"allowed": true}}) == set()
	masked({"path": "paymesh/objects/decision"}) == set()
}

test_a_decision_without_a_path_is_masked if {
	document := request({}, {})
	masked(object.remove(event(document), ["path"])) == plain(document)
}
