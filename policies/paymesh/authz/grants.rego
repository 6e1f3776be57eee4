package paymesh.authz

# METADATA
# description: >-
#   Grants for this caller and RPC, in the file's order. The RPC is Envoy's whole raw path, query
#   and all, compared byte for byte: parsed_path is unescaped and trimmed, and what it would match
#   is not what the service sees.
# scope: document
default candidates := []

# The bundle carries an index, made by its builder from the same list, so that a decision takes as
# long with a thousand grants as with ten. `opa eval -d policies` has none and reads the list.
candidates := data.paymesh.index.grants[_path][caller] if {
	data.paymesh.index.built
} else := [grant |
	some grant in data.paymesh.grants.grants
	grant.rpc == _path
	grant.caller == caller
] if {
	not data.paymesh.index.built
}

# METADATA
# description: >-
#   A unary or streaming gRPC call with plain protobuf messages: what the policy can read is what the
#   service will read. Another content type, or a compressed message, could be two things at once.
is_grpc_call if {
	_http.method == "POST"
	_http.headers["content-type"] in {"application/grpc", "application/grpc+proto"}
	object.get(_http.headers, "grpc-encoding", "identity") == "identity"
}

# METADATA
# description: Why there is no grant; without meaning when there is one.
ungranted_reason := "NOT_A_GRPC_CALL" if {
	not regex.match(`^/[A-Za-z0-9_.]+/[A-Za-z0-9_]+$`, _path)
} else := "RPC_CLOSED" if {
	_is_closed
} else := "RPC_NOT_GRANTED"

_is_closed if data.paymesh.index.closed[_path]

_is_closed if {
	not data.paymesh.index.built
	some line in data.paymesh.grants.closed
	line.rpc == _path
}

_http := input.attributes.request.http

default _path := ""

_path := _http.path
