// Package input makes the policy's input document of Envoy's CheckRequest. The
// document is that of the official opa-envoy-plugin, so that the same policy runs
// under both; where this one knows less than the official one would claim to know
// (a body of several messages, of which the official plugin reads the first),
// parsed_body is null, and a caller with several identities is none.
package input

import (
	"errors"
	"fmt"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
)

// ErrUnreadable means that the request itself is malformed: no policy can be
// asked about it, and it is refused.
var ErrUnreadable = errors.New("request_parse_error")

var (
	keyVersion         = ast.StringTerm("version")
	keyParsedPath      = ast.StringTerm("parsed_path")
	keyParsedQuery     = ast.StringTerm("parsed_query")
	keyParsedBody      = ast.StringTerm("parsed_body")
	keyTruncatedBody   = ast.StringTerm("truncated_body")
	keySourcePrincipal = ast.StringTerm("source_principal")

	version = ast.NewTerm(ast.NewObject(
		ast.Item(ast.StringTerm("ext_authz"), ast.StringTerm("v3")),
		ast.Item(ast.StringTerm("encoding"), ast.StringTerm("protojson")),
	))
)

// Reader makes documents. The zero Reader parses bodies, but no protobuf.
type Reader struct {
	// Methods are the RPCs whose messages can be read; may be nil.
	Methods Methods
	// SkipBody leaves parsed_body and truncated_body out of the document.
	SkipBody bool
}

// Document makes the input of one request, or an error that wraps ErrUnreadable.
func (r Reader) Document(request *authv3.CheckRequest) (ast.Value, error) {
	http := request.GetAttributes().GetRequest().GetHttp()
	if err := oneIdentity(http.GetHeaders()[clientCertHeader]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	parts, query, err := parsePath(http.GetPath())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	extra := make([][2]*ast.Term, 0, 6)
	extra = append(extra,
		[2]*ast.Term{keyVersion, version},
		[2]*ast.Term{keyParsedPath, stringArray(parts)},
		[2]*ast.Term{keyParsedQuery, multimap(query)},
	)
	if !r.SkipBody {
		parsed, truncated, err := r.body(http, parts)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		extra = append(extra,
			[2]*ast.Term{keyParsedBody, parsed},
			[2]*ast.Term{keyTruncatedBody, ast.InternedTerm(truncated)},
		)
	}
	if principal := request.GetAttributes().GetSource().GetPrincipal(); principal != "" {
		extra = append(extra, [2]*ast.Term{keySourcePrincipal, ast.StringTerm(principal)})
	}
	document, err := message(request.ProtoReflect(), extra...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return document.Value, nil
}
