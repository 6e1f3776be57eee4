package shadow

import "github.com/open-policy-agent/opa/v1/ast"

// termBytes is about what a term takes besides its text.
const termBytes = 96

// weight is about how much memory a value holds. It stops counting at the limit, so
// that a large document costs whoever asks no more than a small one.
func weight(value ast.Value, limit int64) int64 {
	s := scale{limit: limit}
	s.add(value)
	return s.total
}

type scale struct{ total, limit int64 }

// add returns true when the limit is reached, which also ends Until.
func (s *scale) add(value ast.Value) bool {
	s.total += termBytes
	switch value := value.(type) {
	case ast.String:
		s.total += int64(len(value))
	case ast.Number:
		s.total += int64(len(value))
	case ast.Object:
		return value.Until(func(key, element *ast.Term) bool { return s.add(key.Value) || s.add(element.Value) })
	case *ast.Array:
		return value.Until(func(element *ast.Term) bool { return s.add(element.Value) })
	case ast.Set:
		return value.Until(func(element *ast.Term) bool { return s.add(element.Value) })
	}
	return s.total >= s.limit
}
