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

mask(document) := pointers if {
	pointers := log.mask with input as document
}

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
	mask(request(headers, body)) == always
}

test_headers_that_could_hold_a_secret_are_erased if {
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
	mask(request(headers, {})) == always | {
		"/attributes/request/http/headers/x-api-key",
		"/attributes/request/http/headers/a~1b~0c",
	}
}

# Beside each other in mask.rego, for speed: the names of headers and the pointers to them.
test_every_header_that_is_never_recorded_has_its_pointer if {
	{name |
		some pointer in always
		name := trim_prefix(pointer, "/attributes/request/http/headers/")
		name != pointer
	} == log._erased_headers
	log._erased_headers & log._recorded_headers == set()
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
		"a/b~c": 1,
		"merchantAccountId": "4111111111111111",
		"paymentId": 4111111111111111,
		"legalEntity": "4111111111111111",
		"amount": {"currencyCode": "4111111111111111"},
		"legs": [{"accountId": "4111111111111111", "amount": {"currencyCode": "EUR"}}],
	}
	fields := {concat("/", ["/parsed_body", name]) | some name in object.keys(object.remove(body, ["a/b~c"]))}
	mask(request({}, body)) == (always | fields) | {"/parsed_body/a~1b~0c"}
}

test_one_odd_leg_erases_them_all[leg] if {
	some leg in [
		{"accountId": "4111111111111111", "amount": {"currencyCode": "EUR"}},
		{"accountId": account, "amount": {"currencyCode": "4111111111111111"}},
		{"accountId": account},
		"4111111111111111",
	]
	good := {"accountId": account, "amount": {"currencyCode": "EUR", "minorUnits": "1"}}
	mask(request({}, {"legs": [good, leg]})) == always | {"/parsed_body/legs"}
}

test_a_body_that_is_no_message_is_erased_whole[body] if {
	some body in [null, "4111111111111111", ["4111111111111111"], 7]
	mask(request({}, body)) == always | {"/parsed_body"}
}

test_a_path_that_names_no_method_is_erased[path] if {
	some path in ["/a.B/C?token=1", "/a.B/C/", "/v1/payments/4111111111111111/x", "//a.B/C", ""]
	document := json.patch(request({}, {}), [{"op": "replace", "path": "/attributes/request/http/path", "value": path}])
	mask(document) == always | {"/attributes/request/http/path", "/parsed_path", "/parsed_query"}
}

test_an_empty_input_is_masked_without_error if {
	mask({}) == always | {"/attributes/request/http/path", "/parsed_path", "/parsed_query"}
}
