package input

import (
	"strconv"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// Envoy sets this header when max_request_bytes cut the body that it shows.
const partialBodyHeader = "x-envoy-auth-partial-body"

var null = ast.NullTerm()

// body returns parsed_body (null for whatever is not wholly known) and
// truncated_body. The kinds and their order are the official plugin's.
func (r Reader) body(http *authv3.AttributeContext_HttpRequest, path []string) (*ast.Term, bool, error) {
	headers := http.GetHeaders()
	if headers[partialBodyHeader] == "true" {
		return null, true, nil
	}
	kind := headers["content-type"]
	if strings.Contains(kind, "application/grpc") && !strings.Contains(kind, "application/json") {
		return r.grpcBody(headers, kind, http.GetRawBody(), path)
	}
	parse := parserOf(kind)
	payload := http.GetBody()
	if payload == "" {
		payload = string(http.GetRawBody())
	}
	if parse == nil || payload == "" {
		return null, false, nil
	}
	if declared, ok := headers["content-length"]; ok {
		length, err := strconv.ParseInt(declared, 10, 64)
		if err != nil {
			return nil, false, err
		}
		if length > int64(len(payload)) {
			return null, true, nil
		}
	}
	term, err := parse(kind, payload)
	return term, false, err
}

func parserOf(kind string) func(kind, payload string) (*ast.Term, error) {
	switch {
	case strings.Contains(kind, "application/json"):
		return parseJSON
	case strings.Contains(kind, "application/x-www-form-urlencoded"):
		return parseForm
	case strings.Contains(kind, "multipart/form-data"):
		return parseMultipart
	}
	return nil
}

func parseJSON(_, payload string) (*ast.Term, error) {
	var data any
	if err := util.UnmarshalJSON([]byte(payload), &data); err != nil {
		return nil, err
	}
	value, err := ast.InterfaceToValue(data)
	return ast.NewTerm(value), err
}
