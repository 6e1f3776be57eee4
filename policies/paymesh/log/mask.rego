# METADATA
# title: What a recorded decision leaves out
# description: >-
#   The decision log keeps what a decision can be replayed from and audited by, and nothing that could
#   be a token, a key, a card number or a person. Who the user was stands in the result, as verified
#   claims.
package paymesh.log

# trap: ok, missing-default: the decision point leaves the whole input out when the mask is undefined

# METADATA
# description: >-
#   JSON pointers (RFC 6901) into the ext_authz input, in two sets. What `erase` points at is recorded as
#   null: that it was there is known, what it was is not. What `leave_out` points at is not recorded, nor
#   its name. A pointer to nothing does nothing. A header or message field is recorded only when it is
#   listed here; a new one is not until somebody lists it.
# entrypoint: true
mask := {"erase": ((((_always | _odd_headers) | _odd_copies) | _fields) | _odd_path), "leave_out": (_unknown_headers | _no_message)}

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

# Whoever calls chooses the values too: each is recorded if it has the shape that its name promises.
# What the policy reads, content-type and grpc-encoding, has a wide one, so that refusals for it can be
# replayed.
_shapes := {
	":method": `^[A-Z]{1,16}$`,
	":scheme": `^https?$`,
	"content-length": `^[0-9]{1,10}$`,
	"content-type": `^(?:[A-Za-z]{1,16}/[A-Za-z.+-]{1,40}[0-9]{0,2}(?:; ?charset=[A-Za-z]{1,8}(?:-[0-9]{1,4}){0,2})?)?$`,
	"grpc-encoding": `^[A-Za-z-]{0,16}[0-9]{0,2}$`,
	"grpc-timeout": `^[0-9]{1,8}[HMSmun]$`,
	"te": `^trailers$`,
	"traceparent": `^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`,
	"x-envoy-auth-partial-body": `^(?:true|false)$`,
	"x-request-id": `^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`,
}

_odd_headers := {concat("", ["/attributes/request/http/headers/", name]) |
	some name, shape in _shapes
	value := input.attributes.request.http.headers[name]

	# trap: ok, unanchored-regex: the patterns stand in _shapes above, each anchored at both ends
	not regex.match(shape, value)
}

# Envoy says these twice.
_odd_copies := {copy |
	some header, copy in {
		"/attributes/request/http/headers/:method": "/attributes/request/http/method",
		"/attributes/request/http/headers/:scheme": "/attributes/request/http/scheme",
	}
	header in _odd_headers
}

_unknown_headers := {concat("", ["/attributes/request/http/headers/", _escaped(name)]) |
	some name in ((object.keys(input.attributes.request.http.headers) - _recorded_headers) - _erased_headers)
}

# What is no message did not come from a descriptor. Null, for what could not be read, stays.
_no_message := set() if {
	is_object(input.parsed_body)
} else := set() if {
	input.parsed_body == null
} else := {"/parsed_body"}

# Names of fields come from the descriptors; values come from whoever calls.
_fields := ({concat("", ["/parsed_body/", _escaped(name)]) |
	some name, value in input.parsed_body
	not _is_recorded(name, value)
} | _amount_parts) | _leg_parts

# Clients put card numbers where ids belong, so an id is recorded when it looks like one.
_is_recorded(name, value) if {
	name in {"accountId", "bankLinkId", "linkId", "merchantAccountId", "paymentId"}
	regex.match(_uuid, value)
}

# What conditions read is recorded whole, so that a decision can be replayed, unless it is odd.
_is_recorded("legalEntity", value) if _is_harmless(value)

_is_recorded("kind", value) if _is_harmless(value)

_is_recorded("kind", value) if _is_small(value)

_is_recorded("pageSize", value) if _is_small(value)

# Judged by their parts, below.
_is_recorded("amount", value) if is_object(value)

_is_recorded("legs", value) if is_array(value)

_amount_parts := {concat("", ["/parsed_body/amount/", _escaped(name)]) |
	some name, value in input.parsed_body.amount
	not _is_amount_part(name, value)
}

_leg_parts := {sprintf("/parsed_body/legs/%d%s", [i, part]) |
	some i, leg in input.parsed_body.legs
	some part in _odd_leg_parts(leg)
}

_odd_leg_parts(leg) := {""} if {
	not is_object(leg)
} else := {concat("", ["/", _escaped(name)]) |
	some name, value in leg
	not _is_leg_part(name, value)
} | {concat("", ["/amount/", _escaped(name)]) |
	some name, value in leg.amount
	not _is_amount_part(name, value)
}

_is_leg_part("accountId", value) if regex.match(_uuid, value)

_is_leg_part("amount", value) if is_object(value)

_is_amount_part("currencyCode", value) if _is_harmless(value)

# An int64 in protojson.
_is_amount_part("minorUnits", value) if regex.match(`^-?[0-9]{1,19}$`, value)

_few_digits := `^(?:[^0-9]*[0-9]){0,7}[^0-9]*$`

_uuid := `^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`

# Too short for a token, too few digits for a card number.
_is_harmless(text) if {
	count(text) <= 32
	regex.match(_few_digits, text)
}

# An int32 in protojson, and no card number.
_is_small(number) if abs(number) <= 2147483648

# A query, or what stands where a method should, may be anything.
_odd_path := set() if {
	regex.match(`^/[A-Za-z0-9_.]{1,128}/[A-Za-z0-9_]{1,64}$`, input.attributes.request.http.path)
	regex.match(_few_digits, input.attributes.request.http.path)
} else := {"/attributes/request/http/path", "/parsed_path", "/parsed_query"}

# `replace` is slow, and hardly any name needs it.
_escaped(name) := name if {
	not contains(name, "/")
	not contains(name, "~")
} else := replace(replace(name, "~", "~0"), "/", "~1")
