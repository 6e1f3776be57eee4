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
#   a pointer to nothing erases nothing. Headers and message fields are recorded only when listed here
#   and of a shape that holds no secret; a new one is left out until somebody lists it.
# entrypoint: true
# scope: document
mask contains pointer if {
	some pointer in _never_recorded
}

mask contains concat("/", ["/attributes/request/http/headers", _escaped(name)]) if {
	some name, value in input.attributes.request.http.headers
	not _recorded_header(name, value)
}

mask contains concat("/", ["/parsed_body", _escaped(name)]) if {
	is_object(input.parsed_body)
	some name, value in input.parsed_body
	not _recorded_field(name, value)
}

# Anything but a message's fields did not come from a descriptor.
mask contains "/parsed_body" if not is_object(input.parsed_body)

# A query, or what stands where a method should, may be anything.
mask contains pointer if {
	not _is_method_path
	some pointer in {"/attributes/request/http/path", "/parsed_path", "/parsed_query"}
}

_is_method_path if {
	regex.match(`^/[A-Za-z0-9_.]{1,128}/[A-Za-z0-9_]{1,64}$`, input.attributes.request.http.path)
}

_never_recorded := {
	"/attributes/contextExtensions",
	"/attributes/metadataContext",
	"/attributes/request/http/body",
	"/attributes/request/http/fragment",
	"/attributes/request/http/headerMap",
	"/attributes/request/http/host",
	"/attributes/request/http/query",
	"/attributes/request/http/rawBody",
	"/attributes/routeMetadataContext",
	"/attributes/source/certificate",
}

_recorded_header(name, value) if regex.match(_header_shapes[name], value)

_header_shapes := {
	":method": `^[A-Z]{1,16}$`,
	":scheme": `^https?$`,
	"content-length": `^[0-9]{1,10}$`,
	"content-type": `^[a-z]{1,16}/[a-z+]{1,32}$`,
	"grpc-encoding": `^[a-z]{1,16}$`,
	"grpc-timeout": `^[0-9]{1,8}[HMSmun]$`,
	"te": `^trailers$`,
	"traceparent": `^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`,
	"x-envoy-auth-partial-body": `^(true|false)$`,
	"x-request-id": `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`,
}

_recorded_field(name, value) if {
	name in {"accountId", "bankLinkId", "linkId", "merchantAccountId", "paymentId"}
	_is_uuid(value)
}

_recorded_field("legalEntity", value) if regex.match(`^[a-z][a-z0-9-]{0,62}$`, value)

# The descriptors make these an enum's name or a number.
_recorded_field(name, _) if name in {"kind", "pageSize"}

_recorded_field("amount", value) if _is_money(value)

_recorded_field("legs", value) if {
	every leg in value {
		_is_uuid(leg.accountId)
		_is_money(leg.amount)
	}
}

_is_uuid(value) if {
	regex.match(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`, value)
}

_is_money(value) if regex.match(`^[A-Z]{3}$`, value.currencyCode)

_escaped(name) := replace(replace(name, "~", "~0"), "/", "~1")
