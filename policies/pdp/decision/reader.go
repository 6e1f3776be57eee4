package decision

import (
	"fmt"
	"net/http"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/types/known/structpb"
)

// reader reads the fields of a decision object and keeps the first error.
type reader struct {
	object ast.Object
	err    error
}

func (r *reader) fail(field, want string, got ast.Value) {
	if r.err == nil {
		r.err = fmt.Errorf("%q has a %s where a %s belongs", field, ast.ValueName(got), want)
	}
}

func (r *reader) text(field string) string {
	value := lookup(r.object, field)
	text, ok := value.(ast.String)
	if value != nil && !ok {
		r.fail(field, "string", value)
	}
	return string(text)
}

func (r *reader) strings(field string) []string {
	value := lookup(r.object, field)
	if value == nil {
		return nil
	}
	list, ok := elements(value)
	if !ok {
		r.fail(field, "list of strings", value)
		return nil
	}
	texts := make([]string, 0, len(list))
	for _, element := range list {
		text, ok := element.Value.(ast.String)
		if !ok {
			r.fail(field, "string", element.Value)
			return nil
		}
		texts = append(texts, string(text))
	}
	return texts
}

// headers reads an object of headers, or a list of such objects.
func (r *reader) headers(field string) []Header {
	value := lookup(r.object, field)
	if value == nil {
		return nil
	}
	list, ok := elements(value)
	if !ok {
		return r.appendPairs(nil, field, value)
	}
	var headers []Header
	for _, element := range list {
		headers = r.appendPairs(headers, field, element.Value)
	}
	return headers
}

func (r *reader) pairs(field string) []Header {
	value := lookup(r.object, field)
	if value == nil {
		return nil
	}
	return r.appendPairs(nil, field, value)
}

// appendPairs appends an object's strings; a list of strings stands for one pair
// each, with the same name.
func (r *reader) appendPairs(pairs []Header, field string, value ast.Value) []Header {
	object, ok := value.(ast.Object)
	if !ok {
		r.fail(field, "object", value)
		return nil
	}
	object.Foreach(func(key, value *ast.Term) {
		name, ok := key.Value.(ast.String)
		if !ok {
			r.fail(field, "string", key.Value)
			return
		}
		list, ok := elements(value.Value)
		if !ok {
			list = []*ast.Term{value}
		}
		for _, element := range list {
			text, ok := element.Value.(ast.String)
			if !ok {
				r.fail(field+"."+string(name), "string", element.Value)
				return
			}
			pairs = append(pairs, Header{string(name), string(text)})
		}
	})
	return pairs
}

// status is 403 if the policy names none; one that HTTP or Envoy does not know
// is an error and not a guess.
func (r *reader) status(field string) typev3.StatusCode {
	value := lookup(r.object, field)
	if value == nil {
		return http.StatusForbidden
	}
	number, ok := value.(ast.Number)
	if !ok {
		r.fail(field, "number", value)
		return 0
	}
	code, ok := number.Int64()
	_, known := typev3.StatusCode_name[int32(code)]
	if (!ok || !known || http.StatusText(int(code)) == "") && r.err == nil {
		r.err = fmt.Errorf("%q has %s, which is not an HTTP status", field, number)
	}
	return typev3.StatusCode(code)
}

func (r *reader) structure(field string) *structpb.Struct {
	value := lookup(r.object, field)
	if value == nil {
		return nil
	}
	object, ok := value.(ast.Object)
	if !ok {
		r.fail(field, "object", value)
		return nil
	}
	converted, err := toStruct(object)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%q: %w", field, err)
	}
	return converted
}

// elements of an array or a set; in JSON, which the official plugin sees, a set
// is an array.
func elements(value ast.Value) ([]*ast.Term, bool) {
	switch value := value.(type) {
	case *ast.Array:
		list := make([]*ast.Term, value.Len())
		for i := range list {
			list[i] = value.Elem(i)
		}
		return list, true
	case ast.Set:
		return value.Slice(), true
	}
	return nil, false
}
