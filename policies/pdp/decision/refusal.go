package decision

import (
	"net/http"
	"strconv"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// Reasons of refusals that are this program's own and not the policy's.
const (
	ReasonUnreadable  = "REQUEST_UNREADABLE"
	ReasonNotRecorded = "DECISION_NOT_RECORDED"
	ReasonPolicyError = "POLICY_ERROR"
)

// Unreadable refuses a request that cannot be made into a document, with the
// official plugin's HTTP status. The grpc-status header is an addition: Envoy
// would call a 400 INTERNAL, and it is the caller's fault.
func Unreadable() *Decision {
	d := own(ReasonUnreadable, ReasonUnreadable+": the path, the query or the body is malformed.", http.StatusBadRequest)
	d.Headers = append(d.Headers, Header{"grpc-status", strconv.Itoa(int(codes.InvalidArgument))})
	return d
}

// NotRecorded refuses a request whose decision could not be written to the log:
// what nobody can account for does not happen.
func NotRecorded() *Decision {
	return own(ReasonNotRecorded, ReasonNotRecorded+": the decision could not be recorded, so the call is refused.",
		http.StatusForbidden)
}

func own(reason, body string, code int) *Decision {
	return &Decision{
		Value: ast.Boolean(false),
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"reason": structpb.NewStringValue(reason),
		}},
		Headers:    []Header{{"x-paymesh-reason", reason}},
		Body:       body,
		HTTPStatus: typev3.StatusCode(code),
	}
}
