package input

import (
	"encoding/base64"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// names holds the term of every field name a CheckRequest can have, made once.
var names = fieldNames((&authv3.CheckRequest{}).ProtoReflect().Descriptor())

// headersField is by far the largest part of a request, and is read without
// reflection.
var headersField = (&authv3.AttributeContext_HttpRequest{}).ProtoReflect().Descriptor().Fields().ByName("headers")

// What most requests have is made into terms once.
func init() {
	ast.InternStringTerm(
		":authority", ":method", ":path", ":scheme", "authorization", "content-type", "grpc-accept-encoding",
		"grpc-timeout", "te", "traceparent", "tracestate", "user-agent", "x-envoy-expected-rq-timeout-ms",
		"x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
		"HTTP/2", "POST", "application/grpc", "https", "http", "trailers",
	)
}

func fieldNames(root protoreflect.MessageDescriptor) map[protoreflect.FieldDescriptor]*ast.Term {
	found := map[protoreflect.FieldDescriptor]*ast.Term{}
	seen := map[protoreflect.FullName]bool{}
	var visit func(protoreflect.MessageDescriptor)
	visit = func(message protoreflect.MessageDescriptor) {
		if seen[message.FullName()] {
			return
		}
		seen[message.FullName()] = true
		for i := range message.Fields().Len() {
			field := message.Fields().Get(i)
			found[field] = ast.StringTerm(field.JSONName())
			if field.Message() != nil {
				visit(field.Message())
			}
		}
	}
	visit(root)
	return found
}

func nameOf(field protoreflect.FieldDescriptor) *ast.Term {
	if term, ok := names[field]; ok {
		return term
	}
	return ast.StringTerm(field.JSONName())
}

// message turns Envoy's message into a term as the official plugin does: the
// fields that are set, by JSON name, enums as numbers, 64-bit integers as
// numbers, bytes in base64. (A request's own message is written otherwise, see
// body.go.) Reflection and not a list of fields: a field that a later Envoy adds
// is in the document without a change here.
func message(m protoreflect.Message, extra ...[2]*ast.Term) (*ast.Term, error) {
	if structure, ok := m.Interface().(interface{ AsMap() map[string]any }); ok {
		value, err := ast.InterfaceToValue(structure.AsMap())
		return ast.NewTerm(value), err
	}
	items := make([][2]*ast.Term, 0, 8+len(extra))
	if http, ok := m.Interface().(*authv3.AttributeContext_HttpRequest); ok && len(http.GetHeaders()) > 0 {
		items = append(items, [2]*ast.Term{names[headersField], stringMap(http.GetHeaders())})
	}
	var failed error
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		var term *ast.Term
		switch {
		case field == headersField:
			return true
		case field.IsMap():
			term, failed = mapping(field, value.Map())
		case field.IsList():
			term, failed = list(field, value.List())
		default:
			term, failed = single(field, value)
		}
		items = append(items, [2]*ast.Term{nameOf(field), term})
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	return ast.NewTerm(ast.NewObject(append(items, extra...)...)), nil
}

func mapping(field protoreflect.FieldDescriptor, entries protoreflect.Map) (*ast.Term, error) {
	items := make([][2]*ast.Term, 0, entries.Len())
	var failed error
	entries.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		var term *ast.Term
		term, failed = single(field.MapValue(), value)
		items = append(items, [2]*ast.Term{ast.InternedTerm(key.String()), term})
		return failed == nil
	})
	return ast.NewTerm(ast.NewObject(items...)), failed
}

// stringMap makes all the terms in one allocation.
func stringMap(entries map[string]string) *ast.Term {
	terms := make([]ast.Term, 0, 2*len(entries))
	items := make([][2]*ast.Term, 0, len(entries))
	for key, value := range entries {
		terms = append(terms, ast.Term{Value: ast.InternedValue(key)}, ast.Term{Value: ast.InternedValue(value)})
		last := len(terms)
		items = append(items, [2]*ast.Term{&terms[last-2], &terms[last-1]})
	}
	return ast.NewTerm(ast.NewObject(items...))
}

func list(field protoreflect.FieldDescriptor, values protoreflect.List) (*ast.Term, error) {
	terms := make([]*ast.Term, values.Len())
	for i := range terms {
		var err error
		if terms[i], err = single(field, values.Get(i)); err != nil {
			return nil, err
		}
	}
	return ast.ArrayTerm(terms...), nil
}

func single(field protoreflect.FieldDescriptor, value protoreflect.Value) (*ast.Term, error) {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return message(value.Message())
	case protoreflect.StringKind:
		return ast.InternedTerm(value.String()), nil
	case protoreflect.BytesKind:
		return ast.StringTerm(base64.StdEncoding.EncodeToString(value.Bytes())), nil
	case protoreflect.EnumKind:
		return ast.InternedTerm(int(value.Enum())), nil
	default:
		result, err := ast.InterfaceToValue(value.Interface())
		return ast.NewTerm(result), err
	}
}
