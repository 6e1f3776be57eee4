package symbolic

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"paymesh.internal/pdp/recorded"
)

// A token's times are symbols, which a JSON Web Token cannot have for times. So the
// real io.jwt.decode_verify is asked about a token without them, and what it would
// have compared is compared here, as a test of its own.
type timeless struct {
	token    string
	exp, nbf *ast.Term // nil if the claim is absent, or no number or symbol
}

func (e *evaluation) verify(
	bctx topdown.BuiltinContext, original topdown.BuiltinFunc, operands []*ast.Term, iter func(*ast.Term) error,
) error {
	constraints, ok := operands[1].Value.(ast.Object)
	if !ok {
		return original(bctx, operands, iter)
	}
	now := constraints.Get(ast.InternedTerm("time"))
	if now == nil && e.wholeTime {
		now = bctx.Time
	} else if now == nil {
		now = ast.StringTerm(mark(e.nonce, numberSymbol, 0))
	}
	text, _ := operands[0].Value.(ast.String)
	token, ok := e.timeless[string(text)]
	if !ok {
		if e.isSymbol(now) || e.isSymbol(operands[0]) {
			return e.fail(errStrange) // a token from elsewhere in the input
		}
		return original(bctx, operands, iter)
	}
	// The builtin looks at the time that it is given before it looks at the token.
	if good, _, err := e.ask(newTest("time", goodTime, e.operand(now))); err != nil {
		return err
	} else if good != isTrue {
		return errBadTime
	}
	verdict, err := e.withoutTimes(bctx, original, token.token, constraints)
	if err != nil || verdict == nil {
		return err
	}
	if !verdict.Elem(0).Equal(ast.InternedTerm(true)) {
		return iter(ast.NewTerm(verdict))
	}
	return e.withTimes(token, now, verdict, iter)
}

func (e *evaluation) withoutTimes(
	bctx topdown.BuiltinContext, original topdown.BuiltinFunc, token string, constraints ast.Object,
) (verdict *ast.Array, err error) {
	timeless := ast.NewObject()
	constraints.Foreach(func(key, value *ast.Term) {
		if !key.Equal(ast.InternedTerm("time")) {
			timeless.Insert(key, value)
		}
	})
	if e.holdsSymbol(ast.NewTerm(timeless)) {
		return nil, e.fail(errStrange)
	}
	timeless.Insert(ast.InternedTerm("time"), ast.InternedTerm(0))
	err = original(bctx, []*ast.Term{ast.StringTerm(token), ast.NewTerm(timeless)}, func(term *ast.Term) error {
		verdict, _ = term.Value.(*ast.Array)
		return nil
	})
	return verdict, err
}

func (e *evaluation) withTimes(token timeless, now *ast.Term, verdict *ast.Array, iter func(*ast.Term) error) error {
	claims, ok := verdict.Elem(2).Value.(ast.Object)
	if !ok {
		return e.fail(errStrange)
	}
	for name, at := range map[string]*ast.Term{"exp": token.exp, "nbf": token.nbf} {
		if at != nil {
			claims, _ = claims.Merge(ast.NewObject(ast.Item(ast.StringTerm(name), at)))
		}
	}
	for _, limit := range []struct {
		name string
		call topdown.BuiltinFunc
		at   *ast.Term
	}{{"exp", isBefore, token.exp}, {"nbf", isNotBefore, token.nbf}} {
		if limit.at == nil {
			continue
		}
		t := newTest(limit.name, limit.call, e.operand(now), e.operand(limit.at))
		if within, _, err := e.ask(t); err != nil {
			return err
		} else if within != isTrue {
			return iter(ast.ArrayTerm(ast.InternedTerm(false), ast.InternedEmptyObject, ast.InternedEmptyObject))
		}
	}
	return iter(ast.ArrayTerm(verdict.Elem(0), verdict.Elem(1), ast.NewTerm(claims)))
}

func (e *evaluation) isSymbol(term *ast.Term) bool {
	_, _, ok := unmark(e.nonce, term.Value)
	return ok
}

func (e *evaluation) operand(term *ast.Term) operand {
	if _, number, ok := unmark(e.nonce, term.Value); ok {
		return operand{register: number}
	}
	return operand{constant: term}
}

var errBadTime = errors.New("token time constraint: not a time")

// goodTime, isBefore and isNotBefore are how io.jwt.decode_verify (OPA 1.22) reads the
// time that it is given, in nanoseconds, and compares it with claims, in seconds. It
// goes by way of a float64, which near today's times is exact to 256 ns.
func goodTime(_ topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
	now, ok := operands[0].Value.(ast.Number)
	if !ok {
		return errBadTime
	}
	nanoseconds, ok := now.Float64()
	return iter(ast.InternedTerm(ok && nanoseconds >= 0))
}

func isBefore(_ topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
	return iter(ast.InternedTerm(compareSeconds(operands[0], operands[1]) == -1))
}

func isNotBefore(_ topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
	return iter(ast.InternedTerm(compareSeconds(operands[0], operands[1]) != -1))
}

// maxExact: up to here a float64 holds every integer.
const maxExact = 1 << 53

func compareSeconds(now, limit *ast.Term) int {
	nanoseconds, _ := now.Value.(ast.Number).Float64()
	seconds := nanoseconds / 1000000000
	if number, ok := limit.Value.(ast.Number); ok {
		// The shortest decimal that reads as this float64, which is what OPA compares, is
		// on the same side of another float64 as the float64 itself.
		if whole, ok := number.Int64(); ok && -maxExact < whole && whole < maxExact {
			return cmp.Compare(seconds, float64(whole))
		}
	}
	return ast.Number(strconv.FormatFloat(seconds, 'g', -1, 64)).Compare(limit.Value)
}

const bearer = "Bearer "

// remember makes the twin of a token, without the times that are numbers or symbols.
func (e *evaluation) remember(header string, token *recorded.Token, keys *recorded.Keys) error {
	text, ok := strings.CutPrefix(header, bearer)
	if !ok {
		return nil
	}
	without := *token
	without.Claims = maps.Clone(token.Claims)
	var twin timeless
	for name, at := range map[string]**ast.Term{"exp": &twin.exp, "nbf": &twin.nbf} {
		raw, ok := token.Claims[name]
		if !ok {
			continue
		}
		value, err := ast.ValueFromReader(bytes.NewReader(raw))
		if err != nil {
			return errStrange
		}
		kind, _, _ := unmark(e.nonce, value)
		if _, ok := value.(ast.Number); !ok && kind != numberSymbol && kind != erasedSymbol {
			return errStrange // which error comes first is not worth copying
		}
		*at = ast.NewTerm(value)
		delete(without.Claims, name)
	}
	header, err := keys.Authorization(&without)
	if err != nil {
		return err
	}
	twin.token = strings.TrimPrefix(header, bearer)
	e.timeless[text] = twin
	return nil
}
