package paymesh.authz

# METADATA
# description: >-
#   Every reason code, the sentence that goes with it and the HTTP status that Envoy turns into a gRPC
#   status (401 UNAUTHENTICATED, 403 PERMISSION_DENIED). Clients depend on the codes: renaming one
#   breaks them. The sentences tell a caller nothing that it did not send.
reasons := {
	"ALLOWED": {"http_status": 200, "sentence": "A grant allows this call."},
	"NO_CALLER_IDENTITY": {
		"http_status": 403,
		"sentence": "The connection has no SPIFFE identity.",
	},
	"FOREIGN_TRUST_DOMAIN": {
		"http_status": 403,
		"sentence": "The caller belongs to another trust domain.",
	},
	"UNKNOWN_CALLER": {
		"http_status": 403,
		"sentence": "The caller is not a workload of this mesh.",
	},
	"NOT_A_GRPC_CALL": {
		"http_status": 403,
		"sentence": "Only uncompressed gRPC calls to an exact /package.Service/Method are answered.",
	},
	"RPC_NOT_GRANTED": {
		"http_status": 403,
		"sentence": "No grant lets this caller make this call.",
	},
	"RPC_CLOSED": {
		"http_status": 403,
		"sentence": "This call is closed to every caller.",
	},
	"USER_TOKEN_MISSING": {
		"http_status": 401,
		"sentence": "This call needs an end user's token.",
	},
	"USER_TOKEN_INVALID": {
		"http_status": 401,
		"sentence": "The end user's token is not valid here.",
	},
	"USER_TOKEN_EXPIRED": {
		"http_status": 401,
		"sentence": "The end user's token has expired.",
	},
	"USER_ROLE_MISSING": {
		"http_status": 403,
		"sentence": "The end user has no role that allows this call.",
	},
	"USER_NOT_EXPECTED": {
		"http_status": 403,
		"sentence": "This caller may not make this call for an end user.",
	},
	"BODY_UNREADABLE": {
		"http_status": 403,
		"sentence": "The fields that the decision needs are missing, zero or unreadable.",
	},
	"AMOUNT_OVER_LIMIT": {
		"http_status": 403,
		"sentence": "The amount is outside what may be moved at once.",
	},
	"CURRENCY_HAS_NO_LIMIT": {
		"http_status": 403,
		"sentence": "No amount of this currency may be moved.",
	},
	"OTHER_TENANT": {
		"http_status": 403,
		"sentence": "The legal entity is not the end user's own.",
	},
	"ACCOUNT_KIND_REFUSED": {
		"http_status": 403,
		"sentence": "This caller may not open accounts of this kind.",
	},
	"POLICY_ERROR": {
		"http_status": 403,
		"sentence": "The policy could not decide.",
	},
}
