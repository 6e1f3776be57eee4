package policy_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"paymesh.internal/pdp/policy"
	"paymesh.internal/pdp/policy/policytest"
)

func token(header, claims string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".AAAA"
}

// Tokens whose members are of types that OPA's builtins do not expect are no tokens: the
// builtin has no answer, and the policy goes on to say so.
func TestTokensOfOddTypesAreNoTokens(t *testing.T) {
	manager := policytest.Manager(t)
	q := query(t, manager, "a/b")
	policytest.Activate(t, manager, policytest.Policy{Rego: `package a
b := {"decoded": count(_decoded), "verified": count(_verified)}
_decoded contains x if x := io.jwt.decode(input.token)
_verified contains x if x := io.jwt.decode_verify(input.token, {"secret": "s", "iss": "i", "aud": "a"})
`})
	for name, text := range map[string]string{
		"cty a number": token(`{"alg":"HS256","cty":1}`, `{}`),
		"cty an array": token(`{"alg":"HS256","cty":[]}`, `{}`),
		"no object":    token(`7`, `{}`),
		"no claims":    token(`{"alg":"HS256"}`, `7`),
		"nothing":      "..",
	} {
		got, err := eval(t, manager, q, t.Context(), fmt.Sprintf(`{"token": %q}`, text))
		if err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// An issuer that is no string, under a signature that is right.
func TestAnIssuerOfAnOddType(t *testing.T) {
	manager := policytest.Manager(t)
	q := query(t, manager, "a/b")
	policytest.Activate(t, manager, policytest.Policy{Rego: `package a
b := valid if [valid, _, _] := io.jwt.decode_verify(_token, {"secret": "s", "iss": "i"})
_token := io.jwt.encode_sign({"alg": "HS256"}, {"iss": input.iss}, {"kty": "oct", "k": "cw"})
`})
	if got, err := eval(t, manager, q, t.Context(), `{"iss": "i"}`); err != nil || got.String() != "true" {
		t.Errorf("a string: %v, %v", got, err)
	}
	for _, iss := range []string{`7`, `["i"]`, `{"i": 1}`, `null`} {
		if got, err := eval(t, manager, q, t.Context(), `{"iss": `+iss+`}`); !errors.Is(err, policy.ErrUndefined) {
			t.Errorf("%s: %v, %v", iss, got, err)
		}
	}
}
