package paymesh.log_test

import data.paymesh.log

always := {
	"/attributes/contextExtensions",
	"/attributes/metadataContext",
	"/attributes/routeMetadataContext",
	"/attributes/source/certificate",
	"/attributes/request/http/body",
	"/attributes/request/http/fragment",
	"/attributes/request/http/headerMap",
	"/attributes/request/http/host",
	"/attributes/request/http/query",
	"/attributes/request/http/rawBody",
	"/attributes/request/http/headers/:authority",
	"/attributes/request/http/headers/:path",
	"/attributes/request/http/headers/authorization",
	"/attributes/request/http/headers/cookie",
	"/attributes/request/http/headers/grpc-accept-encoding",
	"/attributes/request/http/headers/tracestate",
	"/attributes/request/http/headers/user-agent",
	"/attributes/request/http/headers/x-forwarded-client-cert",
	"/attributes/request/http/headers/x-forwarded-for",
	"/attributes/request/http/headers/x-forwarded-proto",
	"/parsed_body/description",
	"/parsed_body/idempotencyKey",
	"/parsed_body/institutionId",
	"/parsed_body/pageToken",
	"/parsed_body/paymentMethodToken",
	"/parsed_body/publicToken",
	"/parsed_body/reference",
	"/parsed_body/requestId",
}

account := "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8c"

request(headers, body) := {
	"attributes": {"request": {"http": {
		"path": "/paymesh.payments.v1.PaymentsService/CreatePayment",
		"headers": headers,
	}}},
	"parsed_body": body,
}

masked(document) := {"erase": mask.erase - always, "leave_out": mask.leave_out} if {
	mask := log.mask with input as document
	always - mask.erase == set()
}

nothing := {"erase": set(), "leave_out": set()}

erased(pointers) := {"erase": pointers, "leave_out": set()}

left_out(pointers) := {"erase": set(), "leave_out": pointers}

test_what_a_decision_needs_is_recorded if {
	headers := {
		":method": "POST",
		":scheme": "http",
		"content-length": "123",
		"content-type": "application/grpc",
		"grpc-encoding": "identity",
		"grpc-timeout": "15S",
		"te": "trailers",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"x-envoy-auth-partial-body": "false",
		"x-request-id": account,
	}
	body := {
		"amount": {"currencyCode": "EUR", "minorUnits": "1250"},
		"legs": [{"accountId": account, "amount": {"currencyCode": "EUR", "minorUnits": "-1"}}],
		"legalEntity": "acme",
		"kind": "ACCOUNT_KIND_MERCHANT",
		"pageSize": 50,
		"accountId": account,
		"bankLinkId": account,
		"linkId": account,
		"merchantAccountId": account,
		"paymentId": account,
	}
	masked(request(headers, body)) == nothing
}

test_headers_that_nobody_listed_are_left_out_with_their_names if {
	headers := {
		"authorization": "Bearer a.b.c",
		"cookie": "session=1",
		"x-forwarded-client-cert": "Hash=1",
		"x-api-key": "1",
		"user-agent": "4111111111111111",
		":path": "/a?token=1",
		":authority": "a",
		"a/b~c": "1",
	}
	masked(request(headers, {})) == left_out({
		"/attributes/request/http/headers/x-api-key",
		"/attributes/request/http/headers/a~1b~0c",
	})
}

_card := "4111111111111111"

_token := "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"

test_a_header_is_recorded_only_in_the_shape_that_it_should_have[[name, value]] if {
	some name, values in {
		":method": {"post", "PO ST", "", "ABCDEFGHIJKLMNOPQ"},
		":scheme": {"httpss", "ahttp", "ftp"},
		"content-length": {"12345678901", "-1", ""},
		"content-type": {
			"application/grpc; password=hunter2",
			"application/grpc; charset=abcdefghi",
			"application/grpc; charset=utf-12345",
			"application/grpc; charset=iso-8859-1-1",
			"application/grpc; charset=iso-",
			"application/grpc; charset=-8",
			"application/grpc123",
			"application/grpc12;  charset=utf-8",
			"application/",
			"/grpc",
			"application",
			concat("/", [_letters(17), "a"]),
			concat("/", ["a", _letters(41)]),
		},
		"grpc-encoding": {"gzip,br", "lz444", _letters(17)},
		"grpc-timeout": {"123456789S", "15", "S", "15s", "15SS", "a15S"},
		"te": {"trailers, gzip", "a trailers", ""},
		"traceparent": {
			"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-4111",
			"00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
			"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
			"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
			"000-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		"x-envoy-auth-partial-body": {"yes", "true4", "afalse"},
		"x-request-id": {concat("", [account, "4"]), concat("", ["4", account]), ""},
	}
	some value in (values | {_card, _token})
	erased_of(name, value) == {concat("", ["/attributes/request/http/headers/", name])}
}

erased_of(name, value) := pointers if {
	mask := log.mask with input as request({name: value}, {})
	mask.leave_out == set()
	pointers := {pointer | some pointer in (mask.erase - always); contains(pointer, "/headers/")}
}

test_a_header_that_is_read_is_recorded_in_nearly_any_shape[[name, value]] if {
	some name, values in {
		":method": {"A", "GET", "ABCDEFGHIJKLMNOP"},
		":scheme": {"http", "https"},
		"content-length": {"0", "1234567890"},
		"content-type": {
			"",
			"application/grpc+proto",
			"application/grpc-web+json",
			"application/json",
			"application/json;charset=UTF-8",
			"text/plain; charset=ascii",
			"text/html; charset=iso-8859-15",
			"a/b; charset=c-1",
			"a/b",
			"text/x12; charset=abcdefgh-1234",
			concat("/", [_letters(16), _letters(40)]),
		},
		"grpc-encoding": {"", "gzip", "identity", "x-snappy-framed", "lz4", concat("", [_letters(16), "12"])},
		"grpc-timeout": {"1H", "12345678n", "1M", "1m", "1u", "1S"},
		"x-envoy-auth-partial-body": {"true", "false"},
		"x-request-id": {upper(account)},
	}
	some value in values
	erased_of(name, value) == set()
}

test_what_envoy_says_twice_is_erased_twice[name] if {
	some name in ["method", "scheme"]
	header := concat("", [":", name])
	masked(request({header: _card}, {})) == erased({
		concat("", ["/attributes/request/http/headers/", header]),
		concat("", ["/attributes/request/http/", name]),
	})
}

# Beside each other in mask.rego, for speed: the names of headers and the pointers to them.
test_every_header_that_is_never_recorded_has_its_pointer if {
	{name |
		some pointer in always
		name := trim_prefix(pointer, "/attributes/request/http/headers/")
		name != pointer
	} == log._erased_headers
	log._erased_headers & log._recorded_headers == set()
	log._recorded_headers == object.keys(log._shapes)
}

test_constants_are_as_reviewed if log._always == always

test_fields_that_could_hold_a_secret_are_erased if {
	body := {
		"paymentMethodToken": "tok_visa",
		"publicToken": "public-sandbox-1",
		"idempotencyKey": "4111111111111111",
		"requestId": "1",
		"description": "4111 1111 1111 1111",
		"reference": "a",
		"pageToken": "a",
		"institutionId": "ins_1",
		"a/b": 1,
		"b~c": 1,
		"merchantAccountId": "4111111111111111",
		"paymentId": 4111111111111111,
		"legalEntity": "4111 1111 1111 1111",
		"kind": 4111111111111111,
		"pageSize": "4111111111111111",
		"amount": "4111111111111111",
		"legs": "4111111111111111",
	}
	fields := {concat("/", ["/parsed_body", name]) | some name in object.keys(object.remove(body, ["a/b", "b~c"]))}
	pointers := (fields | {"/parsed_body/a~1b", "/parsed_body/b~0c"}) - always
	count(pointers) == 9
	masked(request({}, body)) == erased(pointers)
}

test_what_conditions_read_is_recorded_unless_it_is_odd[note] if {
	some note, [body, pointers] in {
		"no id of a tenant": [{"legalEntity": "Ä; DROP TABLE"}, set()],
		"seven digits": [{"legalEntity": "acme-1234567"}, set()],
		"eight digits": [{"legalEntity": "acme-12345678"}, {"/parsed_body/legalEntity"}],
		"32 characters": [{"legalEntity": "abcdefghijklmnopqrstuvwxyzabcdef"}, set()],
		"33 characters": [{"legalEntity": "abcdefghijklmnopqrstuvwxyzabcdefg"}, {"/parsed_body/legalEntity"}],
		"no string": [{"legalEntity": {"a": 1}}, {"/parsed_body/legalEntity"}],
		"an enum's number": [{"kind": 7}, set()],
		"an enum's name": [{"kind": "ACCOUNT_KIND_CLEARING"}, set()],
		"no enum": [{"kind": ["ACCOUNT_KIND_CLEARING"]}, {"/parsed_body/kind"}],
		"any int64": [{"amount": {"currencyCode": "EUR", "minorUnits": "-9223372036854775808"}}, set()],
		"no amount": [{"amount": {}}, set()],
		"no currency": [{"amount": {"currencyCode": ""}}, set()],
		"no number": [{"amount": {"currencyCode": "EUR", "minorUnits": "4111 1111"}}, {"/parsed_body/amount/minorUnits"}],
		"no protojson": [{"amount": {"minorUnits": 1}}, {"/parsed_body/amount/minorUnits"}],
		"no member": [{"amount": {"currencyCode": "4111111111111111", "a/b": 1}}, {
			"/parsed_body/amount/currencyCode",
			"/parsed_body/amount/a~1b",
		}],
		"no leg": [{"legs": []}, set()],
		"an empty number": [{"amount": {"minorUnits": ""}}, {"/parsed_body/amount/minorUnits"}],
		"20 digits": [{"amount": {"minorUnits": "41111111111111111111"}}, {"/parsed_body/amount/minorUnits"}],
		"the largest page": [{"pageSize": 2147483648}, set()],
		"a larger page": [{"pageSize": 2147483649}, {"/parsed_body/pageSize"}],
		"the smallest page": [{"pageSize": -2147483648}, set()],
		"a smaller page": [{"pageSize": -2147483649}, {"/parsed_body/pageSize"}],
		"an id of another name": [{"otherId": account}, {"/parsed_body/otherId"}],
		"more than an id": [{"linkId": concat("", [account, "4"])}, {"/parsed_body/linkId"}],
		"something and an id": [{"linkId": concat("", ["4", account])}, {"/parsed_body/linkId"}],
	}
	masked(request({}, body)) == erased(pointers)
}

test_an_odd_leg_is_erased_where_it_is_odd[note] if {
	some note, [leg, pointers] in {
		"a card": [
			{"accountId": "4111111111111111", "amount": {"currencyCode": "EUR"}},
			{"/parsed_body/legs/1/accountId"},
		],
		"a currency": [
			{"accountId": account, "amount": {"currencyCode": "4111111111111111", "minorUnits": "1"}},
			{"/parsed_body/legs/1/amount/currencyCode"},
		],
		"no amount": [{"accountId": account}, set()],
		"a bad amount": [{"accountId": account, "amount": "4111111111111111"}, {"/parsed_body/legs/1/amount"}],
		"another field": [{"accountId": account, "a/b": "4111111111111111"}, {"/parsed_body/legs/1/a~1b"}],
		"another field of its amount": [{"amount": {"a/b": "4111111111111111"}}, {"/parsed_body/legs/1/amount/a~1b"}],
		"no leg": ["4111111111111111", {"/parsed_body/legs/1"}],
	}
	good := {"accountId": account, "amount": {"currencyCode": "EUR", "minorUnits": "1"}}
	masked(request({}, {"legs": [good, leg]})) == erased(pointers)
}

test_a_body_that_is_no_message_is_left_out[body] if {
	some body in ["4111111111111111", ["4111111111111111"], 7, false]
	masked(request({}, body)) == left_out({"/parsed_body"})
}

test_that_a_body_could_not_be_read_is_recorded if masked(request({}, null)) == nothing

test_a_path_that_names_no_method_is_erased[path] if {
	some path in [
		"/a.B/C?token=1",
		"/a.B/C/",
		"/v1/payments/4111111111111111/x",
		"/cards/4111111111111111",
		"/4111111111111111/C",
		"/4111.1111/C",
		"//a.B/C",
		"//C",
		"/a.B/",
		"",
		concat("", ["/", _letters(129), "/C"]),
		concat("", ["/a.B/", _letters(65)]),
	]
	document := json.patch(request({}, {}), [{"op": "replace", "path": "/attributes/request/http/path", "value": path}])
	masked(document) == erased({"/attributes/request/http/path", "/parsed_path", "/parsed_query"})
}

test_a_path_that_names_a_method_is_recorded[path] if {
	some path in ["/a/C", "/a.v1234/C567", concat("/", ["", _letters(128), _letters(64)])]
	document := json.patch(request({}, {}), [{"op": "replace", "path": "/attributes/request/http/path", "value": path}])
	masked(document) == nothing
}

test_an_empty_input_is_masked_without_error if {
	masked({}) == {
		"erase": {"/attributes/request/http/path", "/parsed_path", "/parsed_query"},
		"leave_out": {"/parsed_body"},
	}
}

test_the_question_about_an_object_is_recorded_whole if {
	question := {"caller": "spiffe://a/b", "action": "payments.read", "user": null, "object": {"owner": "4111111111111111"}}
	mask := log.mask with input as question
	every pointer in mask.erase | mask.leave_out {
		not startswith(pointer, "/caller")
		not startswith(pointer, "/action")
		not startswith(pointer, "/user")
		not startswith(pointer, "/object")
	}
}
