// Package policy asks prepared questions of the policy that OPA has loaded.
package policy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/cache"
	"github.com/open-policy-agent/opa/v1/topdown/print"
)

var (
	// ErrNotLoaded means that no policy has been activated yet.
	ErrNotLoaded = errors.New("no policy is loaded")
	// ErrUndefined means that the policy has no answer to the question.
	ErrUndefined = errors.New("undefined decision")
)

// Query is one question, compiled when a policy is activated and not when it is
// asked. Safe for concurrent use.
type Query struct {
	manager  *plugins.Manager
	body     ast.Body
	store    storage.Store
	detached bool
	prepared atomic.Pointer[prepared]
	// The caches outlive a policy: a token that was verified under the former
	// bundle is still the same token.
	builtins cache.InterQueryCache
	values   cache.InterQueryValueCache
}

type prepared struct {
	query   rego.PreparedEvalQuery
	defined bool
	err     error
}

// NewQuery makes a query that answers ErrNotLoaded until Prepare is called.
func NewQuery(ctx context.Context, manager *plugins.Manager, body ast.Body) *Query {
	config := manager.InterQueryBuiltinCacheConfig()
	q := &Query{
		manager:  manager,
		body:     body,
		store:    manager.Store,
		builtins: cache.NewInterQueryCacheWithContext(ctx, config),
		values:   cache.NewInterQueryValueCache(ctx, config),
	}
	manager.RegisterCacheTrigger(func(c *cache.Config) {
		q.builtins.UpdateConfig(c)
		q.values.UpdateConfig(c)
	})
	return q
}

// NewDetachedQuery makes a query that sees the policy's rules and the input, but
// none of its data: it needs no transaction of the policy's store, and can be asked
// where none is to be had.
func NewDetachedQuery(ctx context.Context, manager *plugins.Manager, body ast.Body) *Query {
	q := NewQuery(ctx, manager, body)
	q.store, q.detached = inmem.New(), true
	return q
}

// Prepare compiles the question against the manager's present compiler. It is
// called inside the activation's transaction, while nobody can read the store,
// so that the compiler and the data that a reader sees belong together.
func (q *Query) Prepare(ctx context.Context, txn storage.Transaction) {
	compiler := q.manager.GetCompiler()
	if compiler == nil || len(compiler.Modules) == 0 {
		q.prepared.Store(nil)
		return
	}
	txn, end, err := q.transaction(ctx, txn)
	if err != nil {
		q.prepared.Store(&prepared{err: err})
		return
	}
	defer end()
	query, err := rego.New(
		rego.ParsedQuery(q.body),
		rego.Compiler(compiler),
		rego.Store(q.store),
		rego.Transaction(txn),
		rego.Runtime(q.manager.Info),
		rego.EnablePrintStatements(q.manager.EnablePrintStatements()),
		// The answer stays what the evaluator made: whoever needs JSON writes it
		// straight from the terms.
		rego.GenerateJSON(func(term *ast.Term, _ *rego.EvalContext) (any, error) { return term.Value, nil }),
	).PrepareForEval(ctx)
	q.prepared.Store(&prepared{query: query, defined: q.hasRules(compiler), err: err})
}

func (q *Query) transaction(ctx context.Context, given storage.Transaction) (txn storage.Transaction, end func(), err error) {
	if !q.detached {
		return given, func() {}, nil
	}
	txn, err = q.store.NewTransaction(ctx)
	return txn, func() { q.store.Abort(ctx, txn) }, err
}

// Ready returns nil if the active policy has rules for this question.
func (q *Query) Ready() error {
	switch p := q.prepared.Load(); {
	case p == nil:
		return ErrNotLoaded
	case p.err != nil:
		return p.err
	case !p.defined:
		return fmt.Errorf("the policy does not define %v", q.body)
	}
	return nil
}

// Eval answers the question for one input, at the time that the policy is to take
// for now. The transaction must be the caller's own, as the store's readers share a
// lock that does not nest; a detached query needs none.
func (q *Query) Eval(ctx context.Context, txn storage.Transaction, input ast.Value, now time.Time, hook print.Hook) (ast.Value, error) {
	p := q.prepared.Load()
	if p == nil {
		return nil, ErrNotLoaded
	}
	if p.err != nil {
		return nil, p.err
	}
	txn, end, err := q.transaction(ctx, txn)
	if err != nil {
		return nil, err
	}
	defer end()
	// Without a cancel of our own the evaluator starts a goroutine per question.
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	results, err := p.query.Eval(ctx,
		rego.EvalParsedInput(input),
		rego.EvalTransaction(txn),
		rego.EvalTime(now),
		rego.EvalMetrics(metrics.NoOp()),
		rego.EvalInterQueryBuiltinCache(q.builtins),
		rego.EvalInterQueryBuiltinValueCache(q.values),
		rego.EvalExternalCancel(cancel),
		rego.EvalPrintHook(hook),
	)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	case len(results) == 0:
		return nil, ErrUndefined
	case len(results) > 1:
		return nil, errors.New("multiple evaluation results")
	}
	value, ok := results[0].Expressions[0].Value.(ast.Value)
	if !ok {
		return nil, fmt.Errorf("illegal evaluation result %T", results[0].Expressions[0].Value)
	}
	return value, nil
}

// hasRules cannot see into a query that is more than one reference (the
// deprecated "query" key of the ext_authz plugin): such a query counts as
// answered by any policy, and is found out at the first question.
func (q *Query) hasRules(compiler *ast.Compiler) bool {
	ref, ok := reference(q.body)
	return !ok || len(compiler.GetRules(ref)) > 0
}

func reference(body ast.Body) (ast.Ref, bool) {
	if len(body) != 1 || body[0].Negated {
		return nil, false
	}
	term, ok := body[0].Terms.(*ast.Term)
	if !ok {
		return nil, false
	}
	ref, ok := term.Value.(ast.Ref)
	return ref, ok && ref.IsGround()
}

// LogPrints is a hook that writes a policy's print() to a log.
type LogPrints struct{ Logger logging.Logger }

// Print is called by the evaluator.
func (l LogPrints) Print(at print.Context, message string) error {
	l.Logger.Info("%v: %s", at.Location, message)
	return nil
}
