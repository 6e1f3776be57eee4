package symbolic

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"paymesh.internal/pdp/reads"
)

// evaluation is one with symbols, and what the policy asked about them.
type evaluation struct {
	nonce     string
	wholeTime bool
	registers *registers
	path      []step
	asked     map[string]asked
	// tokens by what was made of them without their times; see verify.
	timeless map[string]timeless
	failed   error
	partial  bool
}

type asked struct {
	outcome outcome
	term    *ast.Term
}

type contextKey struct{}

func of(bctx *topdown.BuiltinContext) *evaluation {
	if bctx.Context == nil {
		return nil
	}
	e, _ := bctx.Context.Value(contextKey{}).(*evaluation)
	return e
}

func (e *evaluation) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, e)
}

// Observe lets the evaluations of this package see every call of a builtin; others go
// on as before. It has to be called before policies are compiled.
func Observe() {
	reads.DeclareSame()
	for name, declared := range ast.BuiltinMap {
		original := topdown.GetBuiltin(name)
		if original == nil { // compiled away
			continue
		}
		declared.CanSkipBctx = false // the context says which evaluation it is
		topdown.RegisterBuiltinFunc(name, observed(declared, original))
	}
}

func observed(declared *ast.Builtin, original topdown.BuiltinFunc) topdown.BuiltinFunc {
	arity := declared.Decl.Arity()
	return func(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		e := of(&bctx)
		if e == nil {
			return original(bctx, operands, iter)
		}
		switch declared.Name {
		case ast.NowNanos.Name:
			if !e.wholeTime {
				return iter(ast.StringTerm(mark(e.nonce, numberSymbol, 0)))
			}
		case ast.JWTDecodeVerify.Name:
			return e.verify(bctx, original, operands, iter)
		}
		return e.call(declared.Name, bctx, original, operands, arity, iter)
	}
}

// call asks a builtin. If symbols are among its operands, the answer is noted.
func (e *evaluation) call(
	name string, bctx topdown.BuiltinContext, original topdown.BuiltinFunc, operands []*ast.Term, arity int, iter func(*ast.Term) error,
) error {
	given := operands[:min(arity, len(operands))]
	var of []operand
	symbols, nested := 0, false
	for _, term := range given {
		_, number, ok := unmark(e.nonce, term.Value)
		if ok {
			symbols++
			of = append(of, operand{register: number})
			continue
		}
		nested = nested || e.holdsSymbol(term)
		of = append(of, operand{constant: term})
	}
	switch {
	case nested && !looksOnlyAtTheOutside(name, given):
		return e.fail(fmt.Errorf("%w: %s of a value with symbols in it", errStrange, name))
	case symbols == 0, nested:
		return original(bctx, operands, iter)
	case asksForTheKind(name) && !e.isErased(given[0]):
		// The same for all questions of a form.
		value, err := e.registers.value(of[0].register)
		if err != nil {
			return e.fail(err)
		}
		return original(bctx, append([]*ast.Term{value}, operands[1:]...), iter)
	case name == ast.ObjectGet.Name && !e.isErased(given[0]): // the default is a symbol
		return original(bctx, operands, iter)
	}
	_, term, err := e.ask(newTest(name, original, of...))
	if err != nil || term == nil {
		return err
	}
	return iter(term)
}

// looksOnlyAtTheOutside are those calls of builtins whose answer does not depend on
// what is deep in their operands.
func looksOnlyAtTheOutside(name string, operands []*ast.Term) bool {
	switch name {
	case ast.ObjectKeys.Name, ast.Count.Name, ast.ObjectGet.Name:
		return true
	case reads.Same, ast.NotEqual.Name:
		return ast.IsScalar(operands[0].Value) || ast.IsScalar(operands[1].Value)
	}
	return asksForTheKind(name)
}

func asksForTheKind(name string) bool {
	switch name {
	case ast.IsArray.Name, ast.IsObject.Name, ast.IsSet.Name, ast.IsString.Name, ast.IsNumber.Name,
		ast.IsBoolean.Name, ast.IsNull.Name, ast.TypeNameBuiltin.Name:
		return true
	}
	return false
}

func (e *evaluation) isErased(term *ast.Term) bool {
	kind, _, ok := unmark(e.nonce, term.Value)
	return ok && kind == erasedSymbol
}

func (e *evaluation) holdsSymbol(term *ast.Term) bool {
	if ast.IsScalar(term.Value) {
		return false
	}
	found := false
	ast.WalkTerms(term, func(t *ast.Term) bool {
		_, _, ok := unmark(e.nonce, t.Value)
		found = found || ok
		return found
	})
	return found
}

// ask runs a test and notes it. The same test is noted once. The term is nil if the
// builtin has no answer; a string or a number is answered as a symbol.
func (e *evaluation) ask(t *test) (outcome, *ast.Term, error) {
	key := t.key()
	if known, ok := e.asked[key]; ok {
		return known.outcome, known.term, nil
	}
	outcome, term, err := e.registers.run(t)
	if err != nil {
		return undefined, nil, e.fail(err)
	}
	e.path = append(e.path, step{t, outcome})
	switch outcome {
	case isUnknown:
		e.partial = true
		return outcome, nil, e.fail(errErased)
	case isValue:
		term = ast.StringTerm(mark(e.nonce, derivedSymbol, e.registers.add(term)))
	}
	e.asked[key] = asked{outcome, term}
	return outcome, term, nil
}

// fail ends the evaluation: what it would answer must not be used.
func (e *evaluation) fail(err error) error {
	if e.failed == nil {
		e.failed = err
	}
	return topdown.Halt{Err: err}
}

func (t *test) key() string {
	var key strings.Builder
	key.WriteString(t.name)
	for _, o := range t.operands {
		if o.constant != nil {
			fmt.Fprintf(&key, "\x00c%s", o.constant)
		} else {
			fmt.Fprintf(&key, "\x00r%d", o.register)
		}
	}
	return key.String()
}

// plain puts the question's own values in the places of symbols. What is not recorded
// becomes an empty string.
func (e *evaluation) plain(term *ast.Term) (*ast.Term, error) {
	if kind, number, ok := unmark(e.nonce, term.Value); ok {
		if kind == erasedSymbol {
			return ast.InternedEmptyString, nil
		}
		return e.registers.value(number)
	}
	switch value := term.Value.(type) {
	case ast.Object:
		changed, err := value.Map(func(key, member *ast.Term) (*ast.Term, *ast.Term, error) {
			member, err := e.plain(member)
			return key, member, err
		})
		return ast.NewTerm(changed), err
	case *ast.Array:
		terms := make([]*ast.Term, value.Len())
		for i := range terms {
			var err error
			if terms[i], err = e.plain(value.Elem(i)); err != nil {
				return nil, err
			}
		}
		return ast.NewTerm(ast.NewArray(terms...)), nil
	}
	return term, nil
}
