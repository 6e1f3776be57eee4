package input

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

func parseForm(_, payload string) (*ast.Term, error) {
	values, err := url.ParseQuery(payload)
	if err != nil {
		return nil, err
	}
	return multimap(values), nil
}

// parseMultipart gives each named part's values; a part that says it is JSON is
// parsed, any other is a string.
func parseMultipart(kind, payload string) (*ast.Term, error) {
	_, parameters, err := mime.ParseMediaType(kind)
	if err != nil {
		return nil, err
	}
	boundary, ok := parameters["boundary"]
	if !ok {
		return null, nil
	}
	values := map[string][]*ast.Term{}
	reader := multipart.NewReader(strings.NewReader(payload), boundary)
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := part.FormName()
		if name == "" {
			continue
		}
		term, err := parsePart(part)
		if err != nil {
			return nil, err
		}
		values[name] = append(values[name], term)
	}
	items := make([][2]*ast.Term, 0, len(values))
	for name, terms := range values {
		items = append(items, [2]*ast.Term{ast.StringTerm(name), ast.ArrayTerm(terms...)})
	}
	return ast.NewTerm(ast.NewObject(items...)), nil
}

func parsePart(part *multipart.Part) (*ast.Term, error) {
	content, err := io.ReadAll(part) // bounded by the message that it came in
	if err != nil {
		return nil, err
	}
	if kind := part.Header.Get("Content-Type"); strings.Contains(kind, "application/json") {
		return parseJSON(kind, string(content))
	}
	return ast.StringTerm(string(content)), nil
}
