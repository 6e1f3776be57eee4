# METADATA
# title: What a recorded decision leaves out
# description: >-
#   The decision log keeps what a decision can be replayed from and audited by, and nothing that could
#   be a token, a key, a card number or a person. Who the user was stands in the result, as verified
#   claims.
package paymesh.log

# METADATA
# description: >-
#   JSON pointers (RFC 6901) into the ext_authz input. What they point at is erased from the record;
#   a pointer to nothing erases nothing. A header or message field is recorded only when it is listed
#   here; a new one is left out until somebody lists it.
# entrypoint: true
mask := _always | ((_unknown_headers | _fields) | _odd_path)

# A constant costs nothing at each decision, so what usually comes along is named here.
_always := {
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

_recorded_headers := {
	":method",
	":scheme",
	"content-length",
	"content-type",
	"grpc-encoding",
	"grpc-timeout",
	"te",
	"traceparent",
	"x-envoy-auth-partial-body",
	"x-request-id",
}

# Those that `_always` names.
_erased_headers := {
	":authority",
	":path",
	"authorization",
	"cookie",
	"grpc-accept-encoding",
	"tracestate",
	"user-agent",
	"x-forwarded-client-cert",
	"x-forwarded-for",
	"x-forwarded-proto",
}

_unknown_headers := {concat("", ["/attributes/request/http/headers/", _escaped(name)]) |
	some name in ((object.keys(input.attributes.request.http.headers) - _recorded_headers) - _erased_headers)
}

# What is no message did not come from a descriptor and is left out whole.
_fields := {"/parsed_body"} if {
	not is_object(input.parsed_body)
} else := {concat("", ["/parsed_body/", _escaped(name)]) |
	some name, value in input.parsed_body
	not _is_recorded(name, value)
}

# Clients put card numbers where ids belong, so an id is recorded when it looks like one.
_shapes := {
	"accountId": _uuid,
	"bankLinkId": _uuid,
	"linkId": _uuid,
	"merchantAccountId": _uuid,
	"paymentId": _uuid,
	"legalEntity": `^[a-z][a-z0-9-]{0,62}$`,
}

_uuid := `^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`

_is_recorded(name, value) if regex.match(_shapes[name], value)

# The descriptors make these an enum's name or a number.
_is_recorded("kind", _)

_is_recorded("pageSize", _)

_is_recorded("amount", value) if _is_money(value)

_is_recorded("legs", value) if {
	every leg in value {
		regex.match(_uuid, leg.accountId)
		_is_money(leg.amount)
	}
}

# Three characters are no card number.
_is_money(value) if count(value.currencyCode) == 3

# A query, or what stands where a method should, may be anything.
_odd_path := set() if {
	regex.match(`^/[A-Za-z0-9_.]{1,128}/[A-Za-z0-9_]{1,64}$`, input.attributes.request.http.path)
} else := {"/attributes/request/http/path", "/parsed_path", "/parsed_query"}

_escaped(name) := replace(replace(name, "~", "~0"), "/", "~1")
