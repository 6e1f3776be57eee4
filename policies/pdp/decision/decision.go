// Package decision reads what the policy answered and turns it into Envoy's
// CheckResponse, in the forms of the official opa-envoy-plugin: a boolean, or an
// object whose "allowed" is one.
package decision

import (
	"errors"
	"fmt"
	"net/http"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/types/known/structpb"
)

// ErrIllegal means that the policy's answer has a form that is not a decision.
// Nobody can tell what was meant, so the check fails.
var ErrIllegal = errors.New("illegal decision")

// Decision is a policy's answer, read once.
type Decision struct {
	Allowed bool
	// Value is the whole answer, as it is recorded.
	Value ast.Value
	// Metadata is dynamic_metadata, nil if the answer has none.
	Metadata *structpb.Struct

	// To the service if allowed, to the caller if refused.
	Headers []Header
	// If allowed:
	ResponseHeaders       []Header
	RemoveRequestHeaders  []string
	RemoveQueryParameters []string
	SetQueryParameters    []Header
	// If refused:
	Body       string
	HTTPStatus typev3.StatusCode
}

// Header is one name and value; a name may come again.
type Header struct{ Name, Value string }

// Parse reads an answer. Only what the answer's own kind uses is looked at: a
// refusal may carry an unreadable "request_headers_to_remove".
func Parse(value ast.Value) (*Decision, error) {
	switch value := value.(type) {
	case ast.Boolean:
		return &Decision{Allowed: bool(value), Value: value, HTTPStatus: http.StatusForbidden}, nil
	case ast.Object:
		return parseObject(value)
	}
	return nil, fmt.Errorf("%w: a %s", ErrIllegal, ast.ValueName(value))
}

func parseObject(object ast.Object) (*Decision, error) {
	allowed, ok := lookup(object, "allowed").(ast.Boolean)
	if !ok {
		return nil, fmt.Errorf("%w: \"allowed\" is not a boolean", ErrIllegal)
	}
	d := &Decision{Allowed: bool(allowed), Value: object}
	r := reader{object: object}
	d.Headers = r.headers("headers")
	d.Metadata = r.structure("dynamic_metadata")
	if d.Allowed {
		d.ResponseHeaders = r.headers("response_headers_to_add")
		d.RemoveRequestHeaders = r.strings("request_headers_to_remove")
		d.RemoveQueryParameters = r.strings("query_parameters_to_remove")
		d.SetQueryParameters = r.pairs("query_parameters_to_set")
	} else {
		d.Body = r.text("body")
		d.HTTPStatus = r.status("http_status")
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIllegal, r.err)
	}
	return d, nil
}

// Meta is a string of dynamic_metadata, empty if there is none of that name.
func (d *Decision) Meta(name string) string {
	return d.Metadata.GetFields()[name].GetStringValue()
}

// User is what the policy verified about the end user: "user" of the decision, or
// of its dynamic_metadata; nil if there is none.
func (d *Decision) User() ast.Value {
	object, ok := d.Value.(ast.Object)
	if !ok {
		return nil
	}
	user := lookup(object, "user")
	if metadata, ok := lookup(object, "dynamic_metadata").(ast.Object); ok && user == nil {
		user = lookup(metadata, "user")
	}
	if user == ast.String("") { // metadata's way to say that there is none
		return nil
	}
	return user
}

func lookup(object ast.Object, name string) ast.Value {
	if term := object.Get(ast.InternedTerm(name)); term != nil {
		return term.Value
	}
	return nil
}
