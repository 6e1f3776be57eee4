package symbolic

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

func signed(claims string) *ast.Term {
	const secret = "0123456789abcdef0123456789abcdef"
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return ast.StringTerm(text + "." + encode(mac.Sum(nil)))
}

func isTrueFor(t *testing.T, call topdown.BuiltinFunc, operands ...*ast.Term) (result bool) {
	t.Helper()
	if err := call(topdown.BuiltinContext{Context: context.Background()}, operands, func(term *ast.Term) error {
		value := term.Value
		if verdict, ok := value.(*ast.Array); ok {
			value = verdict.Elem(0).Value
		}
		result = bool(value.(ast.Boolean))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return result
}

// A token's times are compared as io.jwt.decode_verify compares them, to the
// nanosecond that a float64 can tell.
func TestTimesOfTokens(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	real := topdown.GetBuiltin(ast.JWTDecodeVerify.Name)
	for range 4000 {
		second := int64(1_790_000_000) + r.Int64N(1000)
		limit := fmt.Sprint(second)
		switch r.IntN(5) {
		case 0:
			limit += fmt.Sprintf(".%d", r.IntN(1000))
		case 1:
			limit = fmt.Sprintf("%de%d", r.IntN(3), r.IntN(25))
		}
		now := ast.NewTerm(ast.Number(fmt.Sprint(second*1_000_000_000 + r.Int64N(2000) - 1000)))
		constraints := ast.NewTerm(ast.NewObject(
			ast.Item(ast.StringTerm("secret"), ast.StringTerm("0123456789abcdef0123456789abcdef")),
			ast.Item(ast.StringTerm("time"), now),
		))
		at := ast.NewTerm(ast.Number(limit))
		for claim, test := range map[string]topdown.BuiltinFunc{"exp": isBefore, "nbf": isNotBefore} {
			want := isTrueFor(t, real, signed(fmt.Sprintf(`{%q:%s}`, claim, limit)), constraints)
			if got := isTrueFor(t, test, now, at); got != want {
				t.Fatalf("%s %s at %v: got %v", claim, limit, now, got)
			}
		}
	}
}
