package shadow

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/policy/policytest"
)

// Each recorded decision is put to the candidate with its own input and time, and
// differences are listed and counted by what changes.
func TestDifferencesAreListedAndCounted(t *testing.T) {
	r := run(t)
	r.switchTo(t, first, "paymesh.authz")
	for _, c := range []struct {
		id, user, reason string
		allowed          bool
		grant            string
	}{
		{"opened", "alice", "ALLOWED", false, ""},
		{"closed", "bob", "NO", true, "g-1"},
		{"same", "bob", "NO", false, "g-2"},
		{"renamed", "bob", "OTHER", false, "g-2"},
		{"regranted", "bob", "NO", false, "g-1"},
	} {
		decision := record(c.id, authz, map[string]any{"user": c.user, "reason": c.reason})
		decision.Allowed, decision.Grant = c.allowed, c.grant
		if err := r.log.Record(t.Context(), decision); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "five evaluations", func() bool { return r.counts.snapshot().Evaluated == 5 })
	got := r.counts.snapshot()
	if got.DenyToAllow != 1 || got.AllowToDeny != 1 || got.Reason != 1 || got.Grant != 1 || got.Errors+got.Dropped+got.Unwritten != 0 {
		t.Errorf("got %+v", got)
	}
	listed := r.differences(t)
	kinds := make([]string, 0, len(listed))
	for _, d := range listed {
		kinds = append(kinds, d.DecisionID+" "+string(d.Kind))
	}
	if want := []string{"opened deny_to_allow", "closed allow_to_deny", "renamed reason", "regranted grant"}; !slices.Equal(kinds, want) {
		t.Errorf("got %v", kinds)
	}
	want := difference{
		DecisionID: "opened", Time: moment, Kind: DenyToAllow, Caller: caller, RPC: "/a.B/C", PolicyPath: authz,
		Live: Outcome{Reason: "NO", Revision: "live"}, Shadow: Outcome{Allowed: true, Reason: "ALLOWED", Grant: "g-2", Revision: first},
	}
	if listed[0] != want {
		t.Errorf("got %+v", listed[0])
	}
}

// The candidate's clock is the decision's own, to the nanosecond.
func TestCandidateHasTheDecisionsTime(t *testing.T) {
	r := run(t)
	r.switchTo(t, first, "paymesh.authz")
	r.Observe(record("1", authz, map[string]any{"user": "bob"}))
	waitFor(t, "the difference", func() bool { return len(r.differences(t)) == 1 })
	if got := r.differences(t)[0].Shadow.Reason; got != fmt.Sprintf("AT_%d", moment.UnixNano()) {
		t.Errorf("got %s", got)
	}
}

// Packages are switched one by one and all off again while it runs; each candidate
// has counts of its own.
func TestPackagesAreSwitchedWhileRunning(t *testing.T) {
	r := run(t)
	decide := func() {
		for _, path := range []string{authz, objects} {
			r.Observe(record("1", path, map[string]any{"user": "alice", "reason": "YES"}))
		}
	}
	decide()
	for i, packages := range [][]string{{"paymesh.objects"}, {"paymesh.authz", "paymesh.objects"}, {}} {
		revision := fmt.Sprintf("170000000000%d-aaaaaaaaaaaa", i)
		r.switchTo(t, revision, packages...)
		decide()
		waitFor(t, "the evaluations", func() bool { return r.counts.snapshot().Evaluated == int64(len(packages)) })
		waitFor(t, "the status", func() bool {
			var written state
			content, err := os.ReadFile(r.config.Status)
			return err == nil && json.Unmarshal(content, &written) == nil && written.Revision == revision &&
				slices.Equal(written.Packages, packages) && written.DenyToAllow == int64(len(packages))
		})
	}
	if r.worker.pending.Load() != 0 {
		t.Errorf("%d bytes are thought to wait", r.worker.pending.Load())
	}
}

// A bundle that went away is off; one that comes again under the same revision goes
// on counting.
func TestBundleThatGoesAwayIsOff(t *testing.T) {
	r := run(t)
	r.switchTo(t, first, "paymesh.authz")
	r.Observe(record("1", authz, map[string]any{"user": "alice"}))
	waitFor(t, "an evaluation", func() bool { return r.counts.snapshot().Evaluated == 1 })
	r.bundles.set(http.StatusServiceUnavailable, nil)
	waitFor(t, "the problem", func() bool { return r.counts.snapshot().Problem != nil })
	if r.revision() != first {
		t.Error("a service that is away switches the shadow off")
	}
	r.switchTo(t, first, "paymesh.authz")
	waitFor(t, "no problem", func() bool { return r.counts.snapshot().Problem == nil })
	if got := r.counts.snapshot().Evaluated; got != 1 {
		t.Errorf("%d evaluations are counted", got)
	}
	r.bundles.set(http.StatusNotFound, nil)
	waitFor(t, "off", func() bool { return r.revision() == "" && r.counts.snapshot().Revision == "" })
}

// A candidate that nobody signed, or that cannot be asked, is named with the reason,
// and the one before stays.
func TestRefusedCandidateChangesNothing(t *testing.T) {
	r := run(t)
	r.switchTo(t, first, "paymesh.authz")
	stranger, _ := policytest.KeyPair(t)
	const head = "package paymesh\n"
	for _, c := range []struct {
		what    string
		offered offered
		status  string
	}{
		{"another key", offered{second, candidateRego, []string{"paymesh.authz"}, stranger}, "invalid ECDSA signature"},
		{"no entry point", offered{second, head + "other := 1", []string{"paymesh.authz"}, r.private}, "does not define data.paymesh.authz.decision"},
		{"no Rego that compiles", offered{second, head + "authz.decision := nothing(1)", []string{"paymesh.authz"}, r.private}, "undefined function"},
		{"a way out", offered{second, head + `authz.decision := http.send({"url": "http://x", "method": "get"})`, []string{"paymesh.authz"}, r.private}, "http.send"},
		{"an unknown package", offered{second, candidateRego, []string{"paymesh.log"}, r.private}, "paymesh.log"},
	} {
		r.bundles.set(http.StatusOK, c.offered.bundle(t))
		waitFor(t, c.what, func() bool {
			problem := r.counts.snapshot().Problem
			return problem != nil && strings.Contains(problem.Text, c.status)
		})
		if r.revision() != first {
			t.Errorf("%s: it is used", c.what)
		}
	}
	r.switchTo(t, second, "paymesh.authz")
	waitFor(t, "no problem", func() bool { return r.counts.snapshot().Problem == nil })
}

// Decisions, switches and the end of it all at once; the race detector looks on.
func TestSwitchingWhileDeciding(t *testing.T) {
	r := run(t)
	c, err := compileText(t, candidateRego, "paymesh.authz")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 200 {
				input := map[string]any{"user": "alice", "list": []any{i, map[string]any{"a": i}}}
				if err := r.log.Record(t.Context(), record(fmt.Sprint(i), authz, input)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		r.use(c)
		r.use(nil)
	}
	group.Wait()
}

// What has no input, or was no decision of a policy's, is not put to the candidate.
func TestFailedDecisionsAreNotCompared(t *testing.T) {
	r := run(t)
	r.switchTo(t, first, "paymesh.authz", "paymesh.objects")
	failed := record("1", authz, map[string]any{"user": "alice"})
	failed.Error = "too late"
	unread := record("2", authz, nil)
	unread.Input = nil
	other := record("3", "paymesh/log/mask", map[string]any{"user": "alice"})
	for _, decision := range []*decisionlog.Record{failed, unread, other, record("4", authz, map[string]any{"user": "alice"})} {
		r.Observe(decision)
	}
	waitFor(t, "the difference", func() bool { return len(r.differences(t)) > 0 })
	if got := r.differences(t); got[0].DecisionID != "4" || r.counts.snapshot().Evaluated != 1 {
		t.Errorf("got %+v", got)
	}
}

// A configuration that means nothing is refused.
func TestParseConfig(t *testing.T) {
	whole := `{"service": "s", "resource": "r", "key_id": "k", "key": "p", "differences": "d", "status": "t"`
	if config, err := ParseConfig([]byte(whole + `}`)); err != nil || config.MaxPending != 256 {
		t.Errorf("got %+v, %v", config, err)
	}
	for _, text := range []string{`{}`, whole + `, "max_pending": 0}`, whole + `, "deadline_milliseconds": -1}`, whole + `, "key": ""}`, `[]`} {
		if config, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", text, config)
		}
	}
}
