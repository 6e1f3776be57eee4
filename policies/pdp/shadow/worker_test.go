package shadow

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/logging"
)

func compileText(t testing.TB, text string, packages ...any) (*candidate, error) {
	t.Helper()
	return compile(t.Context(), &bundle.Bundle{
		Manifest: bundle.Manifest{Revision: first},
		Data:     map[string]any{"paymesh": map[string]any{"shadow": map[string]any{"packages": packages}}},
		Modules:  []bundle.ModuleFile{{Path: "policy.rego", Parsed: ast.MustParseModule(text)}},
	})
}

// newWorker has a candidate whose answer the test makes, and does not run yet.
func newWorker(t testing.TB, answer question) (*worker, *candidate) {
	c := &candidate{revision: first, questions: map[string]question{authz: answer}}
	return &worker{
		queue: make(chan *asked, 4), maxBytes: 1 << 20, deadline: time.Minute, maxHeap: 1 << 40,
		counts: newCounts(), list: &list{path: filepath.Join(t.TempDir(), "shadow.jsonl"), maxBytes: 1 << 20},
		logger: logging.NewNoOpLogger(), current: func() *candidate { return c },
	}, c
}

func ask1(c *candidate, id string) *asked {
	return &asked{
		candidate: c, question: c.questions[authz], input: ast.NewObject(),
		difference: difference{DecisionID: id, PolicyPath: authz, Live: Outcome{Allowed: true, Reason: "ALLOWED"}},
	}
}

func (w *worker) until(t *testing.T, evaluated int64) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx) }()
	waitFor(t, "the evaluations", func() bool { return w.counts.snapshot().Evaluated >= evaluated })
	stop()
	<-done
}

// What the candidate would fail with in the live one's place is a refusal, as there;
// what says nothing about it is an error and no difference.
func TestFailuresOfACandidate(t *testing.T) {
	for _, c := range []struct {
		what   string
		answer question
		kind   Kind
	}{
		{"an error", func(context.Context, ast.Value, time.Time) (ast.Value, error) { return nil, errors.New("conflict") }, AllowToDeny},
		{"no decision", func(context.Context, ast.Value, time.Time) (ast.Value, error) { return ast.String("yes"), nil }, AllowToDeny},
		{"a panic", func(context.Context, ast.Value, time.Time) (ast.Value, error) { panic("oh") }, ""},
		{"lateness", func(ctx context.Context, _ ast.Value, _ time.Time) (ast.Value, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}, ""},
	} {
		w, candidate := newWorker(t, c.answer)
		w.deadline = time.Millisecond
		w.offer(ask1(candidate, "1"))
		w.until(t, 1)
		got := w.counts.snapshot()
		if got.Errors != 1 || (got.AllowToDeny == 1) != (c.kind == AllowToDeny) || got.DenyToAllow != 0 {
			t.Errorf("%s: got %+v", c.what, got)
		}
		for _, d := range readDifferences(t, w.list.path) {
			if d.Shadow.Reason != "POLICY_ERROR" || d.Kind != c.kind {
				t.Errorf("%s: got %+v", c.what, d)
			}
		}
	}
}

// A candidate sees the token, and can bring no piece of it out: neither as the reason
// nor as the grant, of either decision.
func TestCandidateCannotListTheToken(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9"
	c, err := compileText(t, `package paymesh
token := input.attributes.request.http.headers.authorization
authz.decision := {"allowed": false, "dynamic_metadata": {"reason": substring(token, 7, -1), "grant": token}}
objects.decision := {"allowed": false, "reason": token, "grant": substring(token, 7, 12)}`, "paymesh.authz", "paymesh.objects")
	if err != nil {
		t.Fatal(err)
	}
	input := ast.MustParseTerm(`{"attributes": {"request": {"http": {"headers": {"authorization": "Bearer ` + token + `"}}}}}`).Value
	for _, path := range []string{authz, objects} {
		w, _ := newWorker(t, nil)
		w.current = func() *candidate { return c }
		a := ask1(c, "1")
		a.PolicyPath, a.question, a.input = path, c.questions[path], input
		w.offer(a)
		w.until(t, 1)
		if got := w.counts.snapshot(); got.Errors != 1 || got.AllowToDeny != 1 {
			t.Errorf("%s: got %+v", path, got)
		}
		found := readDifferences(t, w.list.path)
		if len(found) != 1 || found[0].Shadow != (Outcome{Reason: "ILLEGAL", Grant: "ILLEGAL", Revision: first}) {
			t.Errorf("%s: got %+v", path, found)
		}
	}
}

// What a reason code and a grant's id may be.
func TestNamesOfACandidate(t *testing.T) {
	reason := func(text string) bool { return reasonCode.MatchString(text) }
	grant := func(text string) bool { return grantID.MatchString(text) }
	for _, c := range []struct {
		is   func(string) bool
		text string
		want bool
	}{
		{reason, "", true}, {reason, "ALLOWED", true}, {reason, "A_1", true}, {reason, strings.Repeat("A", 64), true},
		{reason, strings.Repeat("A", 65), false}, {reason, "Allowed", false}, {reason, "1A", false}, {reason, "A\n", false}, {reason, "A-B", false},
		{grant, "", true}, {grant, "user-create-payment", true}, {grant, "g1", true}, {grant, strings.Repeat("a", 64), true},
		{grant, strings.Repeat("a", 65), false}, {grant, "Abc", false}, {grant, "a_b", false}, {grant, "a.b", false}, {grant, "1a", false}, {grant, "a\n", false},
	} {
		if c.is(c.text) != c.want {
			t.Errorf("%q: not %t", c.text, c.want)
		}
	}
}

// An evaluation that eats memory is given up long before its deadline.
func TestHungryCandidateIsGivenUp(t *testing.T) {
	c, err := compileText(t, `package paymesh.authz
decision := {"allowed": count([x | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); x := sprintf("%d-%d", [i, j])]) > 0}`, "paymesh.authz")
	if err != nil {
		t.Fatal(err)
	}
	w, _ := newWorker(t, nil)
	w.maxHeap, w.current = 4<<20, func() *candidate { return c }
	w.offer(ask1(c, "1"))
	if _, err := w.ask(t.Context(), <-w.queue); !errors.Is(err, errHeap) {
		t.Errorf("got %v", err)
	}
}

// A candidate that never answers keeps nobody waiting: all decisions are observed
// while its first evaluation is still under way, and those without room are counted.
func TestSlowCandidateDelaysNobody(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	w, c := newWorker(t, func(context.Context, ast.Value, time.Time) (ast.Value, error) {
		begun <- struct{}{}
		<-release
		return ast.Boolean(true), nil
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx) }()
	w.offer(ask1(c, "0"))
	<-begun
	for i := range 100 { // returns, although nothing is released
		w.offer(ask1(c, fmt.Sprint(i)))
	}
	if got := w.counts.snapshot(); got.Evaluated != 0 || got.Dropped != int64(100-cap(w.queue)) {
		t.Errorf("got %+v", got)
	}
	close(release)
	for range cap(w.queue) {
		<-begun
	}
	waitFor(t, "the evaluations", func() bool { return w.counts.snapshot().Evaluated == int64(1+cap(w.queue)) })
	stop()
	<-done
	if got := w.pending.Load(); got != 0 {
		t.Errorf("%d bytes are thought to wait", got)
	}
}

// Large documents do not wait in numbers, however few they are.
func TestPendingDocumentsAreBoundedInBytes(t *testing.T) {
	w, c := newWorker(t, nil)
	w.maxBytes = 10_000
	for range 3 {
		large := ask1(c, "1")
		large.input = ast.NewObject(ast.Item(ast.StringTerm("a"), ast.ArrayTerm(ast.StringTerm(strings.Repeat("x", 4000)))))
		w.offer(large)
	}
	huge := ask1(c, "2")
	huge.input = ast.NewSet(ast.StringTerm(strings.Repeat("x", 20_000)), ast.NumberTerm("1"))
	w.offer(huge)
	if got := w.counts.snapshot().Dropped; got != 2 || len(w.queue) != 2 || w.pending.Load() > w.maxBytes {
		t.Errorf("%d dropped, %d wait with %d bytes", got, len(w.queue), w.pending.Load())
	}
}

// What waits when the shadow is switched off is not asked any more.
func TestWhatWaitsForAnotherCandidateIsNotAsked(t *testing.T) {
	w, c := newWorker(t, func(context.Context, ast.Value, time.Time) (ast.Value, error) { return ast.Boolean(true), nil })
	w.offer(ask1(&candidate{revision: second, questions: c.questions}, "1"))
	w.offer(ask1(c, "2"))
	w.until(t, 1)
	if got := w.counts.snapshot().Evaluated; got != 1 || len(w.queue) != 0 {
		t.Errorf("%d evaluations, %d wait", got, len(w.queue))
	}
}

// The list is bounded: at its limit one older file is kept, and what cannot be
// written is counted.
func TestListIsBounded(t *testing.T) {
	l := &list{path: filepath.Join(t.TempDir(), "shadow.jsonl"), maxBytes: 1000}
	for i := range 20 {
		if err := l.append(&difference{DecisionID: fmt.Sprint(i), RPC: "/<a>"}); err != nil {
			t.Fatal(err)
		}
	}
	now, before := readDifferences(t, l.path), readDifferences(t, l.path+older)
	if len(now) == 0 || len(before) == 0 || len(now)+len(before) >= 20 || now[len(now)-1].DecisionID != "19" {
		t.Errorf("%d and %d lines", len(now), len(before))
	}
	w, c := newWorker(t, func(context.Context, ast.Value, time.Time) (ast.Value, error) { return ast.Boolean(false), nil })
	w.list.path = filepath.Join(t.TempDir(), "missing", "shadow.jsonl")
	w.offer(ask1(c, "1"))
	w.until(t, 1)
	waitFor(t, "the count", func() bool { return w.counts.snapshot().Unwritten == 1 })
}

// What a decision pays for the shadow: to hand a document of a usual size over.
func BenchmarkOffer(b *testing.B) {
	w, c := newWorker(b, nil)
	headers := map[string]any{}
	for i := range 15 {
		headers[fmt.Sprintf("x-header-%d", i)] = "some value of a usual length"
	}
	input := ast.MustInterfaceToValue(map[string]any{"attributes": map[string]any{"request": map[string]any{"http": map[string]any{
		"headers": headers, "method": "POST", "path": "/a.B/C", "body": strings.Repeat("x", 200),
	}}}, "parsed_body": map[string]any{"amount": map[string]any{"currencyCode": "EUR", "minorUnits": "100"}}})
	b.ReportAllocs()
	for b.Loop() {
		a := ask1(c, "1")
		a.input = input
		w.offer(a)
		w.pending.Add(-(<-w.queue).weight)
	}
}
