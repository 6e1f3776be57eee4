package mutate

import (
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// terms breaks a term and what stands in it.
func (b *breaker) terms(term *ast.Term) {
	if term.Location == nil {
		return // the parser's own
	}
	at := spanOf(term.Location)
	switch value := term.Value.(type) {
	case ast.Boolean:
		b.add("swap constant", at, strconv.FormatBool(!bool(value)))
	case ast.Null:
		b.add("swap constant", at, "false")
	case ast.Number:
		b.number(at)
	case ast.String:
		b.str(at)
	case *ast.Array:
		b.elements(at, slices.Collect(arrayElements(value)), "[]")
	case ast.Set:
		b.elements(at, value.Slice(), "set()")
	case ast.Object:
		b.pairs(at, value)
	case ast.Ref:
		b.ref(value)
	case ast.Call:
		b.callTerm(at, value)
	case *ast.ArrayComprehension:
		b.terms(value.Term)
		b.body(value.Body)
	case *ast.SetComprehension:
		b.terms(value.Term)
		b.body(value.Body)
	case *ast.ObjectComprehension:
		b.terms(value.Key)
		b.terms(value.Value)
		b.body(value.Body)
	}
}

func arrayElements(array *ast.Array) func(func(*ast.Term) bool) {
	return func(yield func(*ast.Term) bool) {
		for i := range array.Len() {
			if !yield(array.Elem(i)) {
				return
			}
		}
	}
}

func (b *breaker) number(at span) {
	n, err := strconv.ParseInt(b.source(at), 10, 64)
	if err != nil {
		return // no fraction stands in a policy about minor units
	}
	b.add("swap constant", at, strconv.FormatInt(n+1, 10))
	if n > 0 {
		b.add("swap constant", at, strconv.FormatInt(n-1, 10))
	}
}

// elements breaks a list or a set: without one of its elements, and each element.
func (b *breaker) elements(at span, elements []*ast.Term, empty string) {
	spans := make([]span, 0, len(elements))
	for _, element := range elements {
		b.terms(element)
		spans = append(spans, spanOf(element.Location))
	}
	b.dropEach(at, spans, empty)
}

func (b *breaker) pairs(at span, object ast.Object) {
	var spans []span
	object.Foreach(func(key, value *ast.Term) {
		b.terms(key)
		b.terms(value)
		spans = append(spans, span{spanOf(key.Location).start, spanOf(value.Location).end})
	})
	b.dropEach(at, spans, "{}")
}

func (b *breaker) dropEach(at span, elements []span, empty string) {
	// A set and an object come in the order of their values.
	slices.SortFunc(elements, func(x, y span) int { return x.start - y.start })
	for i, element := range elements {
		switch {
		case len(elements) == 1:
			b.add("drop element", at, empty)
		case i == len(elements)-1:
			b.add("drop element", span{elements[i-1].end, element.end}, "")
		default:
			b.add("drop element", span{element.start, elements[i+1].start}, "")
		}
	}
}

// ref breaks the last key of a reference, and every constant that stands in brackets.
func (b *breaker) ref(ref ast.Ref) {
	if call, ok := ref[0].Value.(ast.Call); ok {
		b.callTerm(spanOf(ref[0].Location), call)
	}
	for i, key := range ref[1:] {
		at := spanOf(key.Location)
		dotted := at.start > 0 && b.text[at.start-1] == '.'
		if !dotted {
			b.terms(key)
			continue
		}
		if i < len(ref)-2 {
			continue
		}
		b.add("swap key", at, b.source(at)+"_")
		if sibling := b.pool.sibling(ref); sibling != "" {
			b.add("swap key", at, sibling)
		}
	}
}

// callTerm breaks a call that stands for its value: also by one of its operands alone.
func (b *breaker) callTerm(at span, call ast.Call) {
	b.call(call)
	at = b.balanced(at)
	name := b.source(spanOf(call[0].Location))
	operands := call[1:]
	if swapped[name] == nil {
		operands = call[1:min(2, len(call))]
	}
	for _, operand := range operands {
		if operand.Location != nil {
			b.add("drop call", at, b.source(b.balanced(spanOf(operand.Location))))
		}
	}
}

// balanced is the place of an operation with the parentheses around it: OPA's parser has
// it begin behind the opening ones and end behind the closing ones.
func (b *breaker) balanced(at span) span {
	text := b.source(at)
	at.end = at.start + len(strings.TrimRight(text, " \t\n"))
	for open := strings.Count(text, ")") - strings.Count(text, "("); open > 0 && at.start > 0; open-- {
		if b.text[at.start-1] != '(' {
			break
		}
		at.start--
	}
	return at
}

// str breaks a string: changed, swapped with another of the file, and if it is a
// regular expression, widened.
func (b *breaker) str(at span) {
	literal := b.source(at)
	if literal == "" || (literal[0] != '"' && literal[0] != '`') {
		return // a key after a dot
	}
	b.add("swap constant", at, literal[:len(literal)-1]+"~"+literal[len(literal)-1:])
	if strings.HasPrefix(literal, "`") {
		b.pattern(at, literal)
		return
	}
	if other := b.pool.nextString(literal); other != "" {
		b.add("swap constant", at, other)
	}
}
