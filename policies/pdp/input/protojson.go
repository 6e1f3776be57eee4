package input

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	pbjson "google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protojson turns a message into the term of its canonical JSON
// (https://protobuf.dev/programming-guides/json/): 64-bit integers are strings,
// enums names, unset fields absent. A test compares it with the protobuf
// library's own writer.
func protojson(m protoreflect.Message) (*ast.Term, error) {
	descriptor := m.Descriptor()
	if special(descriptor) {
		return viaLibrary(m)
	}
	items := make([][2]*ast.Term, 0, descriptor.Fields().Len())
	var failed error
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		var term *ast.Term
		switch {
		case field.IsMap():
			term, failed = jsonMap(field, value.Map())
		case field.IsList():
			term, failed = jsonList(field, value.List())
		default:
			term, failed = jsonValue(field, value)
		}
		items = append(items, [2]*ast.Term{ast.InternedTerm(field.JSONName()), term})
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	return ast.NewTerm(ast.NewObject(items...)), nil
}

// special: the well-known types have forms of their own, and extensions and
// required fields rules of theirs. They are rare: the library writes them.
func special(descriptor protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(descriptor.FullName()), "google.protobuf.") ||
		descriptor.ExtensionRanges().Len() > 0 || descriptor.RequiredNumbers().Len() > 0
}

func viaLibrary(m protoreflect.Message) (*ast.Term, error) {
	text, err := pbjson.Marshal(m.Interface())
	if err != nil {
		return nil, err
	}
	return parseJSON("", string(text))
}

func jsonMap(field protoreflect.FieldDescriptor, entries protoreflect.Map) (*ast.Term, error) {
	items := make([][2]*ast.Term, 0, entries.Len())
	var failed error
	entries.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		var term *ast.Term
		term, failed = jsonValue(field.MapValue(), value)
		items = append(items, [2]*ast.Term{ast.StringTerm(key.String()), term})
		return failed == nil
	})
	return ast.NewTerm(ast.NewObject(items...)), failed
}

func jsonList(field protoreflect.FieldDescriptor, values protoreflect.List) (*ast.Term, error) {
	terms := make([]*ast.Term, values.Len())
	for i := range terms {
		var err error
		if terms[i], err = jsonValue(field, values.Get(i)); err != nil {
			return nil, err
		}
	}
	return ast.ArrayTerm(terms...), nil
}

func jsonValue(field protoreflect.FieldDescriptor, value protoreflect.Value) (*ast.Term, error) {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return protojson(value.Message())
	case protoreflect.BoolKind:
		return ast.InternedTerm(value.Bool()), nil
	case protoreflect.StringKind:
		if !utf8.ValidString(value.String()) {
			return nil, fmt.Errorf("field %s: invalid UTF-8", field.FullName())
		}
		return ast.StringTerm(value.String()), nil
	case protoreflect.BytesKind:
		return ast.StringTerm(base64.StdEncoding.EncodeToString(value.Bytes())), nil
	case protoreflect.EnumKind:
		return jsonEnum(field.Enum(), value.Enum()), nil
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return ast.InternedTerm(int(value.Int())), nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return ast.InternedTerm(int(value.Uint())), nil
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return ast.StringTerm(strconv.FormatInt(value.Int(), 10)), nil
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return ast.StringTerm(strconv.FormatUint(value.Uint(), 10)), nil
	case protoreflect.FloatKind:
		return jsonFloat(value.Float(), float32(value.Float()))
	default: // protoreflect.DoubleKind
		return jsonFloat(value.Float(), value.Float())
	}
}

func jsonEnum(descriptor protoreflect.EnumDescriptor, number protoreflect.EnumNumber) *ast.Term {
	if descriptor.FullName() == "google.protobuf.NullValue" {
		return null
	}
	if value := descriptor.Values().ByNumber(number); value != nil {
		return ast.StringTerm(string(value.Name()))
	}
	return ast.InternedTerm(int(number)) // one that this descriptor does not know
}

// jsonFloat writes the number as its own width prints it; JSON has no word for
// the values that are none.
func jsonFloat(number float64, sized any) (*ast.Term, error) {
	switch {
	case math.IsNaN(number):
		return ast.StringTerm("NaN"), nil
	case math.IsInf(number, 1):
		return ast.StringTerm("Infinity"), nil
	case math.IsInf(number, -1):
		return ast.StringTerm("-Infinity"), nil
	}
	text, err := json.Marshal(sized)
	return ast.NumberTerm(json.Number(text)), err
}
