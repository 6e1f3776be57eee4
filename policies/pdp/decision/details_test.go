package decision

import (
	"encoding/base64"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// A refused gRPC caller finds reason, domain and decision id as google.rpc.Status.
func TestDetails(t *testing.T) {
	d, err := Parse(ast.MustParseTerm(`{"allowed": false, "http_status": 401, "body": "NO: really", "dynamic_metadata": {"reason": "NO"}}`).Value)
	if err != nil {
		t.Fatal(err)
	}
	got, info := decode(t, d, "application/grpc+proto")
	if got.GetCode() != int32(codes.Unauthenticated) || got.GetMessage() != "NO: really" ||
		info.GetReason() != "NO" || info.GetDomain() != "mesh.test" || info.GetMetadata()["decision_id"] != "id-1" {
		t.Errorf("got %v, %v", got, info)
	}
}

// The code in the details is the one that Envoy makes of the HTTP status.
func TestDetailsCode(t *testing.T) {
	for text, code := range map[string]codes.Code{
		`{"allowed": false}`:                                                      codes.PermissionDenied,
		`{"allowed": false, "http_status": 400}`:                                  codes.Internal,
		`{"allowed": false, "http_status": 404}`:                                  codes.Unimplemented,
		`{"allowed": false, "http_status": 429}`:                                  codes.Unavailable,
		`{"allowed": false, "http_status": 503}`:                                  codes.Unavailable,
		`{"allowed": false, "http_status": 500}`:                                  codes.Unknown,
		`{"allowed": false, "http_status": 400, "headers": {"grpc-status": "3"}}`: codes.InvalidArgument,
		`{"allowed": false, "headers": {"grpc-status": "x"}}`:                     codes.PermissionDenied,
	} {
		d, err := Parse(ast.MustParseTerm(text).Value)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := decode(t, d, "application/grpc"); got.GetCode() != int32(code) {
			t.Errorf("%s: got %v, want %v", text, codes.Code(got.GetCode()), code)
		}
	}
}

// The refusals that are not the policy's say why, in the same way.
func TestOwnRefusals(t *testing.T) {
	for want, c := range map[string]struct {
		decision *Decision
		code     codes.Code
	}{
		ReasonUnreadable:  {Unreadable(), codes.InvalidArgument},
		ReasonNotRecorded: {NotRecorded(), codes.PermissionDenied},
	} {
		got, info := decode(t, c.decision, "application/grpc")
		if info.GetReason() != want || got.GetCode() != int32(c.code) || c.decision.Allowed || c.decision.Headers[0].Value != want {
			t.Errorf("%s: got %v, %v", want, got, info)
		}
	}
}

// An HTTP caller gets no gRPC header.
func TestNoDetailsForHTTP(t *testing.T) {
	if header(NotRecorded(), "text/plain") != "" {
		t.Error("there are details")
	}
}

func header(d *Decision, contentType string) string {
	response := d.Response(Context{ID: "id-1", ContentType: contentType, Domain: "mesh.test"})
	for _, option := range response.GetDeniedResponse().GetHeaders() {
		if option.GetHeader().GetKey() == detailsHeader {
			return option.GetHeader().GetValue()
		}
	}
	return ""
}

func decode(t *testing.T, d *Decision, contentType string) (*status.Status, *errdetails.ErrorInfo) {
	t.Helper()
	encoded, err := base64.RawStdEncoding.DecodeString(header(d, contentType))
	if err != nil {
		t.Fatal(err)
	}
	var got status.Status
	if err := proto.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	var info errdetails.ErrorInfo
	if len(got.GetDetails()) != 1 || got.GetDetails()[0].UnmarshalTo(&info) != nil {
		t.Fatalf("details are %v", got.GetDetails())
	}
	return &got, &info
}
