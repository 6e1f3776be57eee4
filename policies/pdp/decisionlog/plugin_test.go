package decisionlog

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/policy/policytest"
	"paymesh.internal/pdp/revision"
)

const (
	noMask     = "package paymesh.log\nmask := {}"
	fixedMask  = "package paymesh.log\nmask.erase contains concat(\"/\", [\"\", data.fields[_]])"
	inputMask  = "package paymesh.log\nmask.leave_out contains sprintf(\"/%s\", [key]) if {\n\tsome key, _ in input\n\tstartswith(key, \"secret\")\n}"
	dataMask   = "package paymesh.log\nmask.erase contains sprintf(\"/%s\", [key]) if {\n\tsome key, _ in input\n\tkey in data.fields\n}"
	oldStamp   = "1700000000000-aaaaaaaaaaaa"
	newStamp   = "1700000000001-bbbbbbbbbbbb"
	secretDoc  = `{"secret": "s3cr3t", "open": 1}`
	secretText = "s3cr3t"
)

func started(t testing.TB, manager *plugins.Manager, change func(*Config)) *Plugin {
	t.Helper()
	directory := t.TempDir()
	config, err := ParseConfig([]byte(`{"path": "` + filepath.Join(directory, "log") + `", "wait_milliseconds": 50}`))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(config)
	}
	p := New(manager, config)
	manager.Register(PluginName, p)
	for range 2 {
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { p.Stop(context.Background()) })
	return p
}

func last(t *testing.T, p *Plugin) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(content(t, p.config.Path)), "\n")
	var record map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &record); err != nil {
		t.Fatal(err)
	}
	return record
}

// The mask of the active policy decides what of an input is recorded; a mask that
// is undefined or broken records nothing of it.
func TestMask(t *testing.T) {
	for name, c := range map[string]struct {
		rego    string
		input   bool
		omitted string
	}{
		"fixed":           {fixedMask, true, ""},
		"by input":        {inputMask, true, ""},
		"by both":         {dataMask, true, ""},
		"undefined":       {"package other", false, "the mask is undefined"},
		"no policy":       {"", false, "the mask failed: no policy is loaded"},
		"not a set":       {"package paymesh.log\nmask := \"/secret\"", false, "the mask failed: it is a string and not an object"},
		"not strings":     {"package paymesh.log\nmask := {\"erase\": {1}}", false, "the mask failed: it has a number where a string belongs"},
		"not pointers":    {"package paymesh.log\nmask := {\"erase\": {\"secret\"}}", false, `the mask failed: mask "secret" does not start with a slash`},
		"conflict":        {"package paymesh.log\nmask := {} if input.open\nmask := {\"erase\": {\"/b\"}} if input.open", false, "the mask failed: "},
		"undefined by it": {"package paymesh.log\nmask := {} if input.never", false, "the mask is undefined"},
	} {
		t.Run(name, func(t *testing.T) {
			manager := policytest.Manager(t)
			p := started(t, manager, nil)
			if c.rego != "" {
				policytest.Activate(t, manager, policytest.Policy{Rego: c.rego, Data: map[string]any{"fields": []any{"secret"}}})
			}
			record := &Record{DecisionID: "id-1", Input: ast.MustParseTerm(secretDoc).Value}
			policytest.Read(t, manager, func(txn storage.Transaction) { p.Redact(t.Context(), txn, record) })
			if err := p.Record(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			got := last(t, p)
			omitted, _ := got["input_omitted"].(string)
			if (got["input"] != nil) != c.input || !strings.HasPrefix(omitted, c.omitted) || (omitted == "") != c.input {
				t.Errorf("got %v", got)
			}
			if strings.Contains(content(t, p.config.Path), secretText) {
				t.Error("the secret is in the log")
			}
		})
	}
}

func event(input, result string) logs.EventV1 {
	parse := func(text string) *any {
		if text == "" {
			return nil
		}
		var data any
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			panic(err)
		}
		return &data
	}
	return logs.EventV1{DecisionID: "id-1", Path: "paymesh/objects/decision", Timestamp: time.Now(),
		Input: parse(input), Result: parse(result), Metrics: map[string]any{"timer_rego_query_eval_ns": int64(42)}}
}

// A decision of the REST API is recorded with the same fields.
func TestLog(t *testing.T) {
	manager := policytest.Manager(t)
	p := started(t, manager, nil)
	policytest.Activate(t, manager, policytest.Policy{Revision: newStamp, Rego: fixedMask, Data: map[string]any{"fields": []any{"secret"}}})
	const input = `{"caller": "spiffe://mesh.test/ns/a/sa/payments", "action": "payments.read", "user": {"sub": "alice"}, "secret": "s3cr3t"}`
	for _, c := range []struct {
		result  string
		allowed bool
		reason  string
	}{
		{`{"allowed": true, "reason": "ALLOWED"}`, true, "ALLOWED"},
		{`{"allowed": false, "reason": "OBJECT_DENIED"}`, false, "OBJECT_DENIED"},
		{`true`, true, ""}, {`"true"`, false, ""}, {``, false, ""},
	} {
		if err := p.Log(t.Context(), event(input, c.result)); err != nil {
			t.Fatal(err)
		}
		got := last(t, p)
		if got["allowed"] != c.allowed || got["reason"] != c.reason || got["rpc"] != "payments.read" || got["revision"] != newStamp ||
			got["caller"] != "spiffe://mesh.test/ns/a/sa/payments" || got["user"].(map[string]any)["sub"] != "alice" ||
			got["eval_ns"] != float64(42) || got["input"] == nil {
			t.Errorf("%s: got %v", c.result, got)
		}
	}
	failed := event(input, "")
	failed.Error = errors.New("boom")
	if err := p.Log(t.Context(), failed); err != nil || last(t, p)["error"] != "boom" || last(t, p)["reason"] != "POLICY_ERROR" {
		t.Errorf("got %v, %v", last(t, p), err)
	}
	if strings.Contains(content(t, p.config.Path), secretText) {
		t.Error("the secret is in the log")
	}
}

// A caller has one form in both kinds of decision: a workload of the mesh its name,
// anybody else the SPIFFE ID that was presented; what is none is no caller.
func TestCaller(t *testing.T) {
	p := started(t, policytest.Manager(t), nil)
	caller := func(presented string) (check, rest any) {
		if err := p.Record(t.Context(), &Record{Caller: presented}); err != nil {
			t.Fatal(err)
		}
		check = last(t, p)["caller"]
		if err := p.Log(t.Context(), event(`{"caller": "`+presented+`"}`, `true`)); err != nil {
			t.Fatal(err)
		}
		return check, last(t, p)["caller"]
	}
	environment := map[string]any{"trust_domain": "mesh.test", "namespace": "a", "workloads": []any{"payments", "ledger"}}
	policytest.Activate(t, p.manager, policytest.Policy{Rego: noMask, Data: map[string]any{"paymesh": map[string]any{"environment": environment}}})
	for presented, want := range map[string]string{
		"spiffe://mesh.test/ns/a/sa/payments": "payments", "spiffe://mesh.test/ns/a/sa/ledger": "ledger", "": "", "payments": "", "/ns/a/sa/payments": "",
		"spiffe://mesh.test/ns/a/sa/other": "spiffe://mesh.test/ns/a/sa/other", "spiffe://other.test/ns/a/sa/payments": "spiffe://other.test/ns/a/sa/payments",
	} {
		if check, rest := caller(presented); check != want || rest != want {
			t.Errorf("%s: got %v and %v", presented, check, rest)
		}
	}
	policytest.Activate(t, p.manager, policytest.Policy{Rego: noMask, Data: map[string]any{"paymesh": map[string]any{}}})
	if check, rest := caller("spiffe://mesh.test/ns/a/sa/payments"); check != rest || rest != "spiffe://mesh.test/ns/a/sa/payments" {
		t.Errorf("without an environment: got %v and %v", check, rest)
	}
}

// A REST decision comes without a transaction: a mask that looks at the input alone
// works, one that needs data too leaves the record without its input.
func TestLogWithInputMask(t *testing.T) {
	for rego, want := range map[string]bool{inputMask: true, dataMask: false} {
		manager := policytest.Manager(t)
		p := started(t, manager, nil)
		policytest.Activate(t, manager, policytest.Policy{Rego: rego, Data: map[string]any{"fields": []any{"secret"}}})
		if err := p.Log(t.Context(), event(secretDoc, `true`)); err != nil {
			t.Fatal(err)
		}
		if got := last(t, p); (got["input"] != nil) != want || got["allowed"] != true || strings.Contains(content(t, p.config.Path), secretText) {
			t.Errorf("%s: got %v", rego, got)
		}
	}
}

// A REST decision that cannot be recorded, or comes of an old bundle, is an error.
func TestLogFailsClosed(t *testing.T) {
	manager := policytest.Manager(t)
	p := started(t, manager, func(c *Config) { c.Path = "/dev/full" })
	policytest.Activate(t, manager, policytest.Policy{Rego: noMask})
	if err := p.Log(t.Context(), event(`{}`, `true`)); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("got %v", err)
	}
	waitFor(t, func() bool { return manager.PluginStatus()[PluginName].State == plugins.StateErr })
}

// A bundle that is older than the active one is not activated: decisions go on under
// the policy before, and the log does not report an error.
func TestRollback(t *testing.T) {
	manager := policytest.Manager(t)
	p := started(t, manager, func(c *Config) { c.RevisionFile = c.Path + ".revision" })
	for _, step := range []struct {
		stamp, active string
		want          error
	}{
		{newStamp, newStamp, nil},
		{oldStamp, newStamp, revision.ErrOlder},
		{"v1", newStamp, revision.ErrForm},
		{newStamp, newStamp, nil},
	} {
		err := policytest.TryActivate(t, manager, policytest.Policy{Revision: step.stamp, Rego: noMask})
		if !errors.Is(err, step.want) {
			t.Errorf("%s: got %v", step.stamp, err)
		}
		if got := p.Revision(); got != step.active || p.Refusal() != nil {
			t.Errorf("%s: %s is active, refusal %v", step.stamp, got, p.Refusal())
		}
		if err := p.Log(t.Context(), event(`{}`, `true`)); err != nil {
			t.Errorf("%s: REST: got %v", step.stamp, err)
		}
		waitFor(t, func() bool { return manager.PluginStatus()[PluginName].State == plugins.StateOK })
	}
	if got := strings.TrimSpace(content(t, p.config.RevisionFile)); got != newStamp {
		t.Errorf("remembered %s", got)
	}
}

// A bundle that is not activated for another reason is not remembered as seen: the one
// before is still good after a restart.
func TestWhatFailsToActivateIsNotRemembered(t *testing.T) {
	manager := policytest.Manager(t)
	p := started(t, manager, func(c *Config) { c.RevisionFile = c.Path + ".revision" })
	policytest.Activate(t, manager, policytest.Policy{Revision: oldStamp, Rego: noMask})
	failed := errors.New("it does not compile")
	err := storage.Txn(t.Context(), manager.Store, storage.WriteParams, func(txn storage.Transaction) error {
		manifest := bundle.Manifest{Revision: newStamp}
		if err := bundle.WriteManifestToStore(t.Context(), manager.Store, txn, policytest.BundleName, manifest); err != nil {
			return err
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(content(t, p.config.RevisionFile)); got != oldStamp {
		t.Errorf("remembered %s", got)
	}
}

// A disk that did not take the revision is asked again; nothing is decided until
// then.
func TestRollbackFileComesBack(t *testing.T) {
	manager := policytest.Manager(t)
	directory := filepath.Join(t.TempDir(), "d")
	p := started(t, manager, func(c *Config) { c.RevisionFile = filepath.Join(directory, "revision") })
	policytest.Activate(t, manager, policytest.Policy{Revision: newStamp, Rego: noMask})
	if p.Refusal() == nil {
		t.Error("it is admitted")
	}
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return p.Refusal() == nil })
}

// A fresh memory keeps to the floor: an older bundle is refused, and an unreadable
// floor refuses until it is mended.
func TestFloor(t *testing.T) {
	manager := policytest.Manager(t)
	floor := filepath.Join(t.TempDir(), "floor")
	lay := func(text string) {
		if err := os.WriteFile(floor, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lay(newStamp)
	p := started(t, manager, func(c *Config) { c.RevisionFile, c.RevisionFloorFile = c.Path+".revision", floor })
	try := func(stamp string) error {
		return policytest.TryActivate(t, manager, policytest.Policy{Revision: stamp, Rego: noMask})
	}
	if err := try(oldStamp); !errors.Is(err, revision.ErrBelowFloor) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(p.config.RevisionFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was refused is remembered: %v", err)
	}
	lay("garbage")
	if err := try(newStamp); !errors.Is(err, revision.ErrFloor) {
		t.Errorf("got %v", err)
	}
	lay(newStamp + "\n")
	if err := try(newStamp); err != nil {
		t.Errorf("got %v", err)
	}
}

// Stop ends the users of the log before it closes, then refuses records.
func TestStopOrder(t *testing.T) {
	manager := policytest.Manager(t)
	p := started(t, manager, nil)
	var inStop error
	p.StopFirst(func(ctx context.Context) { inStop = p.Record(ctx, &Record{DecisionID: "last"}) })
	p.Stop(t.Context())
	if inStop != nil || last(t, p)["decision_id"] != "last" {
		t.Errorf("the last record: %v", inStop)
	}
	if err := p.Record(t.Context(), &Record{}); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("got %v", err)
	}
}

// A configuration without a path or with a limit of nothing is refused.
func TestParseConfig(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"path": ""}`, `{"path": "x", "max_pending": 0}`, `{"path": "x", "max_record_bytes": -1}`, `{"path": "x", "mask": ""}`, `{"path": "x", "token": ""}`,
		`{"path": "x", "fsync": "sometimes"}`, `{"path": "x", "wait_milliseconds": 0}`, `{"path": "x", "max_bytes": -1}`, `{"path": 1}`, `[`,
		`{"path": "x", "revision_floor_file": "y"}`, `{"path": "-", "max_bytes": 1}`, `{"path": "-", "fsync": "batch"}`,
	} {
		if config, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", text, config)
		}
	}
}
