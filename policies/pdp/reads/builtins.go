package reads

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"paymesh.internal/pdp/recorded"
)

func (a *analysis) builtin(name string, operands []*ast.Term, s scope) {
	declared := ast.BuiltinMap[name]
	if declared == nil {
		a.lost = true
		return
	}
	arity := declared.Decl.Arity()
	values := make([]*value, min(arity, len(operands)))
	for i := range values {
		values[i] = a.term(operands[i], s)
	}
	result := a.known(name, operands, values)
	if result == nil {
		result = a.unknown(declared, values)
	}
	a.output(operands, arity, result, s)
}

// known are the builtins of which more is known than that they read their operands;
// nil for the others.
func (a *analysis) known(name string, operands []*ast.Term, values []*value) *value {
	switch name {
	case ast.NowNanos.Name:
		return at(a.time)
	case ast.JWTDecode.Name:
		a.token(values[0])
		return a.decoded
	case ast.JWTDecodeVerify.Name:
		a.token(values[0])
		a.verify(values[1])
		return a.verified
	case ast.IsArray.Name, ast.IsObject.Name, ast.IsSet.Name, ast.IsString.Name,
		ast.IsNumber.Name, ast.IsBoolean.Name, ast.IsNull.Name, ast.TypeNameBuiltin.Name:
		return &value{} // the kind is always known
	case ast.ObjectGet.Name:
		if key, ok := operands[1].Value.(ast.String); ok {
			found := a.step(values[0], key)
			found.add(values[2])
			return found
		}
	case ast.ObjectKeys.Name:
		a.takeApart(values[0])
		return &value{}
	case Same, ast.NotEqual.Name:
		if isConstant(operands[0]) || isConstant(operands[1]) {
			// An object or an array is no scalar, whatever is in it.
			a.use(values[0], Measure)
			a.use(values[1], Measure)
			return &value{}
		}
	case ast.Minus.Name: // of sets too, but their elements are read whole already
		a.use(values[0], Test)
		a.use(values[1], Test)
		return derived(values)
	case ast.Count.Name:
		a.takeApart(values[0])
		a.use(values[0], Measure)
		return derived(values)
	}
	if strings.HasPrefix(name, "io.jwt.") {
		a.mark(a.header, Whole)
		a.mark(a.claims, Whole)
	}
	return nil
}

// token is where a token is decoded. Of the one in the authorization header it is known
// what it says; any other is a string like others.
func (a *analysis) token(v *value) {
	authorization := a.input
	for _, name := range recorded.AuthorizationPath() {
		authorization = a.member(authorization, name)
	}
	for _, places := range []map[*Place]bool{v.places, v.derived} {
		for place := range places {
			if place != authorization {
				a.mark(place, Whole)
			}
		}
	}
}

// verify is what io.jwt.decode_verify compares (RFC 7515, 7519), other than the times,
// which it only compares with the clock.
func (a *analysis) verify(constraints *value) {
	for _, name := range []string{"alg", "kid"} {
		a.mark(a.member(a.header, name), Verify)
	}
	for _, name := range []string{"iss", "aud"} {
		a.mark(a.member(a.claims, name), Verify)
	}
	for _, name := range []string{"exp", "nbf"} {
		a.mark(a.member(a.claims, name), Test)
	}
	for c := range constraints.built {
		for name, member := range c.members {
			if name == ".time" {
				a.use(member, Test)
			} else {
				a.use(member, Whole)
			}
		}
		a.use(c.each, Whole)
	}
	a.use(&value{places: constraints.places, derived: constraints.derived}, Whole)
}

// unknown reads all operands. Of what it answers no more is known than whether it is
// true, or that it is a string or a number; anything else is too much to follow.
func (a *analysis) unknown(declared *ast.Builtin, values []*value) *value {
	result := declared.Decl.Result()
	use := Whole
	switch result.(type) {
	case nil, types.Boolean, types.String, types.Number:
		use = Test
	}
	if declared.Relation {
		use = Whole
	}
	for _, v := range values {
		a.use(v, use)
	}
	if _, ok := result.(types.Boolean); ok || use == Whole {
		return &value{}
	}
	return derived(values)
}

func derived(values []*value) *value {
	sources := &value{}
	for _, v := range values {
		merge(&sources.derived, v.places)
		merge(&sources.derived, v.derived)
	}
	return sources
}
