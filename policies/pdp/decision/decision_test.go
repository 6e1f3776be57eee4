package decision

import (
	"errors"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

var plainHTTP = Context{ID: "id-1", ContentType: "application/json", Domain: "mesh.test"}

const (
	idHeader = `{"header": {"key": "x-paymesh-decision-id", "value": "id-1"}, "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD"}`
	idMeta   = `"dynamicMetadata": {"decision_id": "id-1"}`
)

// Each form of a decision makes the answer of the official plugin's, with the
// decision's id added.
func TestForms(t *testing.T) {
	for name, c := range map[string]struct{ decision, response string }{
		"true":  {`true`, `{"status": {}, "okResponse": {"headers": [` + idHeader + `]}, ` + idMeta + `}`},
		"false": {`false`, `{"status": {"code": 7}, "deniedResponse": {"status": {"code": "Forbidden"}, "headers": [` + idHeader + `]}, ` + idMeta + `}`},
		"allowed alone": {`{"allowed": true}`,
			`{"status": {}, "okResponse": {"headers": [` + idHeader + `]}, ` + idMeta + `}`},
		"all of an allowed one": {`{
			"allowed": true, "headers": {"x-a": "1", "x-b": ["2", "3"]}, "response_headers_to_add": [{"x-c": "4"}, {"x-d": "5"}],
			"request_headers_to_remove": ["x-e"], "query_parameters_to_remove": {"q"}, "query_parameters_to_set": {"p": ["6", "7"], "r": "8"},
			"body": 9, "http_status": "ignored when allowed",
			"dynamic_metadata": {"reason": "ALLOWED", "n": 1, "b": true, "z": null, "l": [1, "x"], "s": {"k"}, "o": {"p": "q"}, 3: "number key"}}`,
			`{"status": {}, "okResponse": {
			"headers": [{"header": {"key": "x-a", "value": "1"}}, {"header": {"key": "x-b", "value": "2"}}, {"header": {"key": "x-b", "value": "3"}}, ` + idHeader + `],
			"responseHeadersToAdd": [{"header": {"key": "x-c", "value": "4"}}, {"header": {"key": "x-d", "value": "5"}}],
			"headersToRemove": ["x-e"], "queryParametersToRemove": ["q"],
			"queryParametersToSet": [{"key": "p", "value": "6"}, {"key": "p", "value": "7"}, {"key": "r", "value": "8"}]},
			"dynamicMetadata": {"reason": "ALLOWED", "n": 1, "b": true, "z": null, "l": [1, "x"], "s": ["k"], "o": {"p": "q"}, "3": "number key", "decision_id": "id-1"}}`},
		"all of a refused one": {`{
			"allowed": false, "headers": {"x-paymesh-reason": "NO"}, "body": "NO: really", "http_status": 401,
			"request_headers_to_remove": 5, "dynamic_metadata": {"reason": "NO"}}`,
			`{"status": {"code": 7}, "deniedResponse": {"status": {"code": "Unauthorized"}, "body": "NO: really",
			"headers": [{"header": {"key": "x-paymesh-reason", "value": "NO"}}, ` + idHeader + `]},
			"dynamicMetadata": {"reason": "NO", "decision_id": "id-1"}}`},
		"a policy cannot choose the id": {`{"allowed": true, "dynamic_metadata": {"decision_id": "other"}}`,
			`{"status": {}, "okResponse": {"headers": [` + idHeader + `]}, ` + idMeta + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse(ast.MustParseTerm(c.decision).Value)
			if err != nil {
				t.Fatal(err)
			}
			var want authv3.CheckResponse
			if err := protojson.Unmarshal([]byte(c.response), &want); err != nil {
				t.Fatal(err)
			}
			if got := d.Response(plainHTTP); !proto.Equal(got, &want) {
				t.Errorf("got  %v\nwant %v", got, &want)
			}
		})
	}
}

// What is not clearly a decision is an error, never a guess.
func TestIllegalDecisions(t *testing.T) {
	for _, text := range []string{
		`null`, `1`, `"true"`, `[true]`, `{true}`, `{}`, `{"allow": true}`,
		`{"allowed": "true"}`, `{"allowed": 1}`, `{"allowed": null}`,
		`{"allowed": true, "headers": "x"}`, `{"allowed": true, "headers": {"x": 1}}`, `{"allowed": true, "headers": {"x": [1]}}`,
		`{"allowed": true, "headers": ["x"]}`, `{"allowed": true, "headers": {1: "x"}}`,
		`{"allowed": true, "response_headers_to_add": 1}`,
		`{"allowed": true, "request_headers_to_remove": "x"}`, `{"allowed": true, "request_headers_to_remove": [1]}`,
		`{"allowed": true, "query_parameters_to_set": ["x"]}`, `{"allowed": true, "query_parameters_to_remove": {"a": "b"}}`,
		`{"allowed": true, "dynamic_metadata": "x"}`, `{"allowed": true, "dynamic_metadata": {"n": 1e400}}`,
		`{"allowed": false, "body": 1}`, `{"allowed": false, "http_status": "403"}`, `{"allowed": false, "http_status": 999}`,
		`{"allowed": false, "http_status": 403.5}`, `{"allowed": false, "http_status": 4294967699}`, `{"allowed": false, "http_status": 418}`,
	} {
		if d, err := Parse(ast.MustParseTerm(text).Value); !errors.Is(err, ErrIllegal) {
			t.Errorf("%s: got %+v, %v", text, d, err)
		}
	}
}

// Reason, grant and user are found where policies put them.
func TestReasonAndUser(t *testing.T) {
	d, err := Parse(ast.MustParseTerm(`{"allowed": false, "dynamic_metadata": {"reason": "R", "user": {"sub": "alice"}}}`).Value)
	if err != nil {
		t.Fatal(err)
	}
	if d.Reason() != "R" || d.Meta("grant") != "" || d.User().String() != `{"sub": "alice"}` {
		t.Errorf("got %q, %q, %v", d.Reason(), d.Meta("grant"), d.User())
	}
	for text, want := range map[string]ast.Value{
		`{"allowed": true, "user": {"sub": "bob"}, "dynamic_metadata": {"user": "alice"}}`: ast.MustParseTerm(`{"sub": "bob"}`).Value,
		`{"allowed": true, "user": null, "dynamic_metadata": {"user": ""}}`:                ast.NullValue,
		`{"allowed": true, "dynamic_metadata": {"user": ""}}`:                              nil,
		`{"allowed": true, "dynamic_metadata": {"user": "alice"}}`:                         ast.String("alice"),
	} {
		d, err := Parse(ast.MustParseTerm(text).Value)
		if err != nil || ast.Compare(d.User(), want) != 0 {
			t.Errorf("%s: user %v, %v", text, d.User(), err)
		}
	}
	for text, reason := range map[string]string{`false`: DefaultReason, `true`: "", `{"allowed": false}`: DefaultReason, `{"allowed": true}`: ""} {
		d, err := Parse(ast.MustParseTerm(text).Value)
		if err != nil || d.Reason() != reason || d.User() != nil {
			t.Errorf("%s: reason %q, %v", text, d.Reason(), err)
		}
	}
}

// DryRun: a refused call passes with nothing of the refusal but the metadata.
func TestDryRun(t *testing.T) {
	d, err := Parse(ast.MustParseTerm(`{"allowed": false, "headers": {"a": "b"}, "dynamic_metadata": {"reason": "R"}}`).Value)
	if err != nil {
		t.Fatal(err)
	}
	response := d.Response(plainHTTP)
	DryRun(response)
	ok := response.GetOkResponse()
	if response.GetStatus().GetCode() != int32(codes.OK) || ok == nil || len(ok.GetHeaders()) > 0 ||
		!strings.Contains(response.GetDynamicMetadata().String(), "R") {
		t.Errorf("got %v", response)
	}
}
