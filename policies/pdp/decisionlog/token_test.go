package decisionlog

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/policy/policytest"
)

const (
	bearerText = "Bearer s3cr3t"
	noToken    = "package paymesh.log\nmask := {}\n"
	length     = noToken + "token := {\"length\": count(input.authorization), \"by\": data.by}"
)

func withHeader(header string) ast.Value {
	headers := ast.NewObject(ast.Item(ast.StringTerm("authorization"), ast.StringTerm(header)))
	return ast.MustParseTerm(fmt.Sprintf(`{"attributes": {"request": {"http": {"headers": %v}}}}`, headers)).Value
}

func factsOf(t testing.TB, p *Plugin, input ast.Value) (facts Facts) {
	t.Helper()
	policytest.Read(t, p.manager, func(txn storage.Transaction) {
		record := &Record{Input: input}
		p.Redact(t.Context(), txn, record)
		facts = record.Token
	})
	return facts
}

// The policy says what is recorded of a token, with its data; where it says nothing or
// breaks, nothing is, and never the token itself.
func TestToken(t *testing.T) {
	odd := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","cty":1}`))
	const unknown = `{"scheme":"unknown"}`
	for name, c := range map[string]struct {
		rego, header, want string
	}{
		"facts":       {length, bearerText, `{"by":"d","length":13}`},
		"empty":       {length, "", `{"by":"d","length":0}`},
		"undefined":   {noToken, bearerText, unknown},
		"conflict":    {noToken + "token := {} if input.authorization\ntoken := {\"a\": 1} if input", bearerText, unknown},
		"not object":  {noToken + "token := input.authorization", bearerText, unknown},
		"too long":    {noToken + "token := {\"a\": numbers.range(1, 5000)}", bearerText, unknown},
		"panic":       {noToken + "token := {\"a\": io.jwt.decode(input.authorization)}", odd + ".e30.", unknown},
		"asked alone": {noToken + "token := {\"asked\": object.keys(input)}", bearerText, `{"asked":["authorization"]}`},
		"the real policy": {read(t, "../../paymesh/log/mask.rego") + strings.TrimPrefix(read(t, "../../paymesh/log/token.rego"), "package paymesh.log\n"),
			bearerText, `{"scheme":"bearer","signature":"malformed"}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := started(t, policytest.Manager(t), nil)
			policytest.Activate(t, p.manager, policytest.Policy{Rego: c.rego, Data: map[string]any{"by": "d"}})
			for range 2 {
				if got := string(factsOf(t, p, withHeader(c.header))); got != c.want {
					t.Errorf("got %s", got)
				}
			}
		})
	}
}

// Without the header there is nothing to record, whatever the policy says.
func TestNoToken(t *testing.T) {
	p := started(t, policytest.Manager(t), nil)
	policytest.Activate(t, p.manager, policytest.Policy{Rego: length, Data: map[string]any{"by": "d"}})
	for _, input := range []string{`{}`, `{"attributes": {"request": {"http": {"headers": {}}}}}`, `{"attributes": "x"}`} {
		if got := factsOf(t, p, ast.MustParseTerm(input).Value); got != nil {
			t.Errorf("%s: got %s", input, got)
		}
	}
	if got := factsOf(t, p, nil); got != nil {
		t.Errorf("got %s", got)
	}
}

// A token is asked about once for each policy, and no other is taken for it.
func TestTokensAreRemembered(t *testing.T) {
	p := started(t, policytest.Manager(t), nil)
	for _, by := range []string{"first", "second"} {
		policytest.Activate(t, p.manager, policytest.Policy{Rego: length, Data: map[string]any{"by": by}})
		for i := range 2 * rememberedTokens {
			header := strings.Repeat("x", i%7) + fmt.Sprint(i)
			input, want := withHeader(header), fmt.Sprintf(`{"by":%q,"length":%d}`, by, len(header))
			first, again := factsOf(t, p, input), factsOf(t, p, input)
			if string(first) != want || &first[0] != &again[0] {
				t.Fatalf("%s: got %s and %s", header, first, again)
			}
		}
	}
}

// What a token that is known already costs a decision.
func BenchmarkKnownToken(b *testing.B) {
	p := started(b, policytest.Manager(b), nil)
	policytest.Activate(b, p.manager, policytest.Policy{Rego: length, Data: map[string]any{"by": "d"}})
	input := withHeader("Bearer " + strings.Repeat("x", 600))
	policytest.Read(b, p.manager, func(txn storage.Transaction) {
		b.ReportAllocs()
		for b.Loop() {
			if p.tokens.facts(b.Context(), txn, p.active.Load().tokens, input) == nil {
				b.Fatal("no facts")
			}
		}
	})
}
