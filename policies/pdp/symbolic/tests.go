package symbolic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
)

// test is a builtin with its operands, as an evaluation called it.
type test struct {
	name     string
	call     topdown.BuiltinFunc
	operands []operand
	// single is the only register among the operands; -1 if there are more, and for the
	// time, which does not come again.
	single int
}

func newTest(name string, call topdown.BuiltinFunc, operands ...operand) *test {
	t := &test{name: name, call: call, operands: operands, single: -1}
	registers := 0
	for _, o := range operands {
		if o.constant == nil {
			registers++
			t.single = o.register
		}
	}
	if registers != 1 || t.single == 0 {
		t.single = -1
	}
	return t
}

// operand is a constant, or the value that a register has in the question at hand.
type operand struct {
	constant *ast.Term
	register int
}

// outcome of a test; evaluations that have the same outcomes go the same way.
type outcome int

const (
	undefined outcome = iota // also: an error, which OPA makes undefined
	isFalse
	isTrue
	isValue   // a string or a number, in a register of its own from here on
	isUnknown // it would need a value that the record does not hold
	outcomes
)

var (
	// errErased: a test would need a value that the record does not hold.
	errErased = errors.New("the value is not recorded")
	// errStrange: the evaluation does what cannot be followed with symbols.
	errStrange = errors.New("not followed")
)

// registers hold a question's own values: its symbols, then what builtins made of them.
type registers struct {
	kinds  []byte
	raws   [][]byte
	values []*ast.Term // nil if not decoded yet
	bctx   topdown.BuiltinContext
	terms  []*ast.Term
	known  map[known]result
}

func newRegisters() *registers {
	return &registers{known: map[known]result{}, bctx: topdown.BuiltinContext{
		Context: context.Background(),
		Metrics: metrics.NoOp(),
		Cache:   builtins.Cache{},
	}}
}

func (r *registers) load(form *Form) {
	r.kinds, r.raws, r.values = r.kinds[:0], r.raws[:0], r.values[:0]
	for _, s := range form.symbols {
		r.kinds, r.raws, r.values = append(r.kinds, s.kind), append(r.raws, s.raw), append(r.values, nil)
	}
}

func (r *registers) add(value *ast.Term) (register int) {
	r.kinds, r.raws, r.values = append(r.kinds, derivedSymbol), append(r.raws, nil), append(r.values, value)
	return len(r.values) - 1
}

func (r *registers) value(register int) (*ast.Term, error) {
	if r.values[register] == nil {
		switch r.kinds[register] {
		case erasedSymbol:
			return nil, errErased
		case numberSymbol:
			r.values[register] = ast.NewTerm(ast.Number(r.raws[register]))
		default:
			text, err := unquoted(r.raws[register])
			if err != nil {
				return nil, errStrange
			}
			r.values[register] = ast.StringTerm(text)
		}
	}
	return r.values[register], nil
}

// unquoted is a JSON string's text; nearly all are that text in quotes.
func unquoted(raw []byte) (text string, err error) {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), nil
	}
	err = json.Unmarshal(raw, &text)
	return text, err
}

// known is a test of one recorded value, and what came of it.
type known struct {
	test *test
	raw  string
}

type result struct {
	outcome outcome
	term    *ast.Term
}

const (
	maxKnown      = 1 << 14
	maxKnownBytes = 64
)

// run calls the test's builtin with this question's values, unless it was called with
// the same before.
func (r *registers) run(t *test) (outcome, *ast.Term, error) {
	if t.single < 0 || r.kinds[t.single] == derivedSymbol || len(r.raws[t.single]) > maxKnownBytes {
		return r.call(t)
	}
	raw := r.raws[t.single]
	if before, ok := r.known[known{t, string(raw)}]; ok {
		return before.outcome, before.term, nil
	}
	outcome, term, err := r.call(t)
	if err == nil {
		if len(r.known) >= maxKnown {
			clear(r.known)
		}
		r.known[known{t, string(raw)}] = result{outcome, term}
	}
	return outcome, term, err
}

func (r *registers) call(t *test) (outcome, *ast.Term, error) {
	r.terms = r.terms[:0]
	for _, o := range t.operands {
		term := o.constant
		if term == nil {
			var err error
			if term, err = r.value(o.register); errors.Is(err, errErased) {
				return isUnknown, nil, nil
			} else if err != nil {
				return undefined, nil, err
			}
		}
		r.terms = append(r.terms, term)
	}
	var result *ast.Term
	results := 0
	err := t.call(r.bctx, r.terms, func(term *ast.Term) error {
		result = term
		results++
		return nil
	})
	switch {
	case errors.As(err, new(topdown.Halt)):
		return undefined, nil, err
	case err != nil || results == 0:
		return undefined, nil, nil
	case results > 1:
		return undefined, nil, errStrange
	}
	switch value := result.Value.(type) {
	case ast.Boolean:
		if value {
			return isTrue, result, nil
		}
		return isFalse, result, nil
	case ast.String, ast.Number:
		return isValue, result, nil
	}
	return undefined, nil, errStrange
}
