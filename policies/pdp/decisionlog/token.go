package decisionlog

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/policy"
)

const (
	// rememberedTokens: a token comes along with every request of its user, and what
	// is to be said of it stays the same as long as the policy does.
	rememberedTokens = 1024
	// maxFactsBytes: a record is always written, whatever somebody calls a token.
	maxFactsBytes = 8 << 10
)

// unknownFacts are recorded where the policy has nothing to say of a token. The
// token itself never is.
var unknownFacts = Facts(`{"scheme":"unknown"}`)

// Facts of an authorization header, as JSON; nil where there was no header.
type Facts []byte

func (f Facts) appendTo(line []byte) []byte {
	if f == nil {
		return append(line, "null"...)
	}
	return append(line, f...)
}

// tokens asks the policy what to record of an authorization header.
type tokens struct {
	manager *plugins.Manager
	query   *policy.Query
	seed    maphash.Seed
}

func newTokens(ctx context.Context, manager *plugins.Manager, path string) *tokens {
	return &tokens{
		manager: manager,
		query:   policy.NewQuery(ctx, manager, policy.Body(path)),
		seed:    maphash.MakeSeed(),
	}
}

// knownTokens are the answers of one policy, a header in a slot.
type knownTokens struct {
	slots [rememberedTokens]atomic.Pointer[knownToken]
}

type knownToken struct {
	header string
	facts  Facts
}

// facts of the header in an ext_authz input, asked in the transaction of the decision.
func (t *tokens) facts(ctx context.Context, txn storage.Transaction, known *knownTokens, input ast.Value) Facts {
	header, ok := authorization(input)
	if !ok {
		return nil
	}
	slot := &known.slots[maphash.String(t.seed, header)%rememberedTokens]
	if found := slot.Load(); found != nil && found.header == header {
		return found.facts
	}
	facts, err := t.ask(ctx, txn, header)
	if err != nil {
		t.manager.Logger().Error("Nothing is recorded of a token: %v.", err)
		facts = unknownFacts
	}
	if ctx.Err() == nil { // a deadline says nothing about the token
		slot.Store(&knownToken{header: header, facts: facts})
	}
	return facts
}

// ask recovers: the builtins of OPA panic at some tokens that anybody can make up,
// and what only the log asks must not refuse a call.
func (t *tokens) ask(ctx context.Context, txn storage.Transaction, header string) (facts Facts, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			facts, err = nil, fmt.Errorf("the policy panicked: %v", cause)
		}
	}()
	question := ast.NewObject(ast.Item(ast.InternedTerm("authorization"), ast.StringTerm(header)))
	value, err := t.query.Eval(ctx, txn, question, time.Now(), policy.LogPrints{Logger: t.manager.Logger()})
	if err != nil {
		return nil, err
	}
	if _, ok := value.(ast.Object); !ok {
		return nil, fmt.Errorf("the policy says %s and not an object", ast.ValueName(value))
	}
	if facts = appendValue(nil, value, nil); len(facts) > maxFactsBytes {
		return nil, fmt.Errorf("what the policy says is longer than %d bytes", maxFactsBytes)
	}
	return facts, nil
}

var authorizationPath = []string{"attributes", "request", "http", "headers", "authorization"}

func authorization(input ast.Value) (string, bool) {
	for _, name := range authorizationPath {
		input = field(input, name)
	}
	header, ok := input.(ast.String)
	return string(header), ok
}
