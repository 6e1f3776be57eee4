package policy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/policy"
	"paymesh.internal/pdp/policy/policytest"
)

func query(t *testing.T, manager *plugins.Manager, path string) *policy.Query {
	t.Helper()
	q := policy.NewQuery(t.Context(), manager, policy.Body(path))
	manager.RegisterCompilerTrigger(func(txn storage.Transaction) { q.Prepare(context.Background(), txn) })
	return q
}

func eval(t *testing.T, manager *plugins.Manager, q *policy.Query, ctx context.Context, input string) (value ast.Value, err error) {
	t.Helper()
	policytest.Read(t, manager, func(txn storage.Transaction) {
		value, err = q.Eval(ctx, txn, ast.MustParseTerm(input).Value, time.Now(), nil)
	})
	return value, err
}

// A question is answered by the policy that is active, and by none before that.
func TestQueryFollowsThePolicy(t *testing.T) {
	manager := policytest.Manager(t)
	q := query(t, manager, "a/b")
	if _, err := eval(t, manager, q, t.Context(), `{}`); !errors.Is(err, policy.ErrNotLoaded) || !errors.Is(q.Ready(), policy.ErrNotLoaded) {
		t.Errorf("before: %v, %v", err, q.Ready())
	}
	for rego, want := range map[string]string{
		"package a\nb := {\"v\": input.x}":  `{"v": 1}`,
		"package a\nb := data.c.d":          `{"e": ["f"]}`,
		"package a\nb contains 1":           `{1}`,
		"package a\ndefault b := false":     `false`,
		"package a.b\nc := 1\nd := input.x": `{"c": 1, "d": 1}`,
	} {
		policytest.Activate(t, manager, policytest.Policy{Rego: rego, Data: map[string]any{"c": map[string]any{"d": map[string]any{"e": []any{"f"}}}}})
		got, err := eval(t, manager, q, t.Context(), `{"x": 1}`)
		if err != nil || got.Compare(ast.MustParseTerm(want).Value) != 0 || q.Ready() != nil {
			t.Errorf("%s: %v, %v, %v", rego, got, err, q.Ready())
		}
	}
}

// Undefined is an error of its own, and a policy without the rule is not ready.
func TestQueryUndefined(t *testing.T) {
	manager := policytest.Manager(t)
	q := query(t, manager, "a/b")
	policytest.Activate(t, manager, policytest.Policy{Rego: "package a\nb := 1 if input.x == 2"})
	if got, err := eval(t, manager, q, t.Context(), `{"x": 1}`); !errors.Is(err, policy.ErrUndefined) || q.Ready() != nil {
		t.Errorf("got %v, %v, ready %v", got, err, q.Ready())
	}
	policytest.Activate(t, manager, policytest.Policy{Rego: "package other\nb := 1"})
	if _, err := eval(t, manager, q, t.Context(), `{}`); !errors.Is(err, policy.ErrUndefined) || q.Ready() == nil {
		t.Errorf("got %v, ready %v", err, q.Ready())
	}
}

// Two values for one rule are an error and not one of them.
func TestQueryConflict(t *testing.T) {
	manager := policytest.Manager(t)
	q := query(t, manager, "a/b")
	policytest.Activate(t, manager, policytest.Policy{Rego: "package a\nb := true if input.x\nb := false if input.y"})
	if got, err := eval(t, manager, q, t.Context(), `{"x": 1, "y": 1}`); err == nil {
		t.Errorf("got %v", got)
	}
}

// An evaluation ends with its deadline.
func TestQueryDeadline(t *testing.T) {
	manager := policytest.Manager(t)
	q := query(t, manager, "a/b")
	policytest.Activate(t, manager, policytest.Policy{
		Rego: "package a\nb := count([1 | some i in numbers.range(1, 20000); some j in numbers.range(1, 20000); i * j == 0])",
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if got, err := eval(t, manager, q, ctx, `{}`); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", got, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Revisions and the mesh are read as a bundle brings them.
func TestStore(t *testing.T) {
	manager := policytest.Manager(t)
	policytest.Activate(t, manager, policytest.Policy{
		Revision: "r-1",
		Rego:     "package a",
		Data: map[string]any{"paymesh": map[string]any{"environment": map[string]any{
			"trust_domain": "mesh.test", "namespace": "a", "workloads": []any{"payments"},
		}}},
	})
	policytest.Read(t, manager, func(txn storage.Transaction) {
		revisions, err := policy.Revisions(t.Context(), manager.Store, txn)
		if err != nil || policy.JoinRevisions(revisions) != "r-1" {
			t.Errorf("got %v, %v", revisions, err)
		}
		mesh := policy.ReadMesh(t.Context(), manager.Store, txn)
		if mesh.TrustDomain != "mesh.test" {
			t.Errorf("got %q", mesh.TrustDomain)
		}
		for id, want := range map[string]string{
			"spiffe://mesh.test/ns/a/sa/payments": "payments", "spiffe://mesh.test/ns/a/sa/payments/": "", "spiffe://mesh.test/ns/a/sa/ledger": "",
			"spiffe://mesh.test/ns/b/sa/payments": "", "spiffe://other.test/ns/a/sa/payments": "", "payments": "", "": "",
		} {
			if got, ok := mesh.Workload(id); got != want || ok != (want != "") {
				t.Errorf("%q: got %q, %v", id, got, ok)
			}
		}
	})
	if got := policy.JoinRevisions(map[string]string{"b": "2", "a": "1"}); got != "a=1,b=2" {
		t.Errorf("got %q", got)
	}
}

// A path of OPA's configuration names one document.
func TestRef(t *testing.T) {
	for path, want := range map[string]string{
		"a/b": "data.a.b", "/a//b/": "data.a.b", "a/0": "data.a[0]", "": "data", "a-b/c": `data["a-b"].c`,
	} {
		if got := policy.Ref(path).String(); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
}
