package decision

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/types/known/structpb"
)

// toStruct makes Envoy's dynamic metadata; its numbers are doubles.
func toStruct(object ast.Object) (*structpb.Struct, error) {
	fields := make(map[string]*structpb.Value, object.Len()+1) // one more: decision_id
	err := object.Iter(func(key, value *ast.Term) error {
		name, ok := key.Value.(ast.String)
		if !ok {
			name = ast.String(key.Value.String()) // as JSON would write the key
		}
		converted, err := toStructValue(value.Value)
		fields[string(name)] = converted
		return err
	})
	return &structpb.Struct{Fields: fields}, err
}

func toStructValue(value ast.Value) (*structpb.Value, error) {
	switch value := value.(type) {
	case ast.Null:
		return structpb.NewNullValue(), nil
	case ast.Boolean:
		return structpb.NewBoolValue(bool(value)), nil
	case ast.Number:
		number, ok := value.Float64()
		if !ok {
			return nil, fmt.Errorf("%s is not a number that metadata can hold", value)
		}
		return structpb.NewNumberValue(number), nil
	case ast.String:
		return structpb.NewStringValue(string(value)), nil
	case ast.Object:
		converted, err := toStruct(value)
		return structpb.NewStructValue(converted), err
	}
	list, ok := elements(value)
	if !ok {
		return nil, fmt.Errorf("a %s has no form in metadata", ast.ValueName(value))
	}
	values := make([]*structpb.Value, len(list))
	for i, element := range list {
		converted, err := toStructValue(element.Value)
		if err != nil {
			return nil, err
		}
		values[i] = converted
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values}), nil
}
