package extauthz

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/policy/policytest"
)

// Not ready before a policy with the decision is loaded; ready then.
func TestHealth(t *testing.T) {
	p := run(t, nil, nil)
	state := func() plugins.State { return p.manager.PluginStatus()[PluginName].State }
	if response, err := p.check(t, "/ok"); status.Code(err) != codes.Unavailable {
		t.Errorf("without a policy: %v, %v", response, err)
	}
	if got := p.serving(t); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("without a policy: %v", got)
	}
	policytest.Activate(t, p.manager, policytest.Policy{Rego: "package other"})
	if got := p.serving(t); got != healthpb.HealthCheckResponse_NOT_SERVING || state() == plugins.StateOK {
		t.Errorf("without the decision: %v, %v", got, state())
	}
	activate(t, p.manager, newStamp)
	if got := p.serving(t); got != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("with the policy: %v", got)
	}
	waitFor(t, "the plugin's state", func() bool { return state() == plugins.StateOK })
}

// A policy that was there before the plugins started is used.
func TestHealthOfEarlierPolicy(t *testing.T) {
	p := run(t, nil, nil)
	activate(t, p.manager, newStamp)
	p.plugin.Stop(t.Context())
	again := register(t, p.manager, PluginName, Factory{}, map[string]any{"addr": "unix://" + p.socket, "path": "paymesh/authz/decision"})
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer again.Stop(t.Context())
	waitFor(t, "an answer", func() bool { _, err := p.check(t, "/ok"); return err == nil })
}

// An older bundle changes no check: the one before stays in force.
func TestRollbackChangesNothing(t *testing.T) {
	p := run(t, nil, map[string]any{"revision_file": filepath.Join(t.TempDir(), "revision")})
	activate(t, p.manager, newStamp)
	old := policytest.Policy{Revision: oldStamp, Rego: "package other"}
	if err := policytest.TryActivate(t, p.manager, old); err == nil {
		t.Error("it is activated")
	}
	if _, err := p.check(t, "/ok"); err != nil {
		t.Errorf("got %v", err)
	}
	if got := p.serving(t); got != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v", got)
	}
}

// Stop answers the checks under way and records them, whichever plugin OPA stops
// first.
func TestStopIsGraceful(t *testing.T) {
	p := run(t, map[string]any{"evaluation-timeout-milliseconds": 300}, nil)
	activate(t, p.manager, newStamp)
	answered := make(chan error, 1)
	go func() {
		_, err := p.check(t, "/slow")
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond)
	decisionlog.Lookup(p.manager).Stop(t.Context())
	if err := <-answered; status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	if got := len(p.records(t)); got != 1 {
		t.Errorf("%d records", got)
	}
	p.plugin.Stop(t.Context())
}

// Stop does not wait longer than its context.
func TestStopIsBounded(t *testing.T) {
	p := run(t, map[string]any{"evaluation-timeout-milliseconds": 5000}, nil)
	activate(t, p.manager, newStamp)
	go func() { _, _ = p.check(t, "/slow") }()
	time.Sleep(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	p.plugin.Stop(ctx)
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Without a decision log of ours, checks are answered as by the official plugin.
func TestWithoutDecisionLog(t *testing.T) {
	p := run(t, nil, nil)
	manager := policytest.Manager(t)
	plugin := register(t, manager, PluginName, Factory{}, map[string]any{
		"addr": "unix://" + p.socket + ".2", "path": "paymesh/authz/decision", "enable-performance-metrics": false, "enable-reflection": true,
	}).(*Plugin)
	if err := plugin.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer plugin.Stop(t.Context())
	activate(t, manager, newStamp)
	response, err := plugin.server.Check(t.Context(), request("/ok"))
	if err != nil || response.GetOkResponse() == nil || plugin.opaLog.Revision() != newStamp {
		t.Errorf("got %v, %v", response, err)
	}
}

// events keeps what OPA's decision log hands on.
type events struct{ last *logs.EventV1 }

func (e *events) Log(_ context.Context, event logs.EventV1) error { e.last = &event; return nil }
func (*events) Start(context.Context) error                       { return nil }
func (*events) Stop(context.Context)                              {}
func (*events) Reconfigure(context.Context, any)                  {}

// Without a decision log of ours, checks go to OPA's, which masks them as the policy says.
func TestOPAMasksWhatItLogs(t *testing.T) {
	manager, kept := policytest.Manager(t), &events{}
	manager.Register("events", kept)
	config, err := logs.ParseConfig([]byte(`{"plugin": "events"}`), nil, []string{"events"})
	if err != nil {
		t.Fatal(err)
	}
	manager.Register(logs.Name, logs.New(config, manager))
	plugin := register(t, manager, PluginName, Factory{}, map[string]any{"addr": "unix://" + socketPath(t), "path": "system/log/allow"}).(*Plugin)
	if err := plugin.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer plugin.Stop(t.Context())
	policytest.Activate(t, manager, policytest.Policy{Revision: newStamp, Rego: `package system.log

allow := true

mask contains "/input/attributes/request/http/headers/authorization" if input.path == "system/log/allow"
`})
	if response, err := plugin.server.Check(t.Context(), request("/ok")); err != nil || response.GetOkResponse() == nil {
		t.Fatalf("got %v, %v", response, err)
	}
	if kept.last == nil || kept.last.Input == nil || kept.last.Bundles[policytest.BundleName].Revision != newStamp {
		t.Fatalf("got %+v", kept.last)
	}
	if text := fmt.Sprint(*kept.last.Input); strings.Contains(text, "s3cr3t") || !strings.Contains(text, caller) {
		t.Errorf("got %s", text)
	}
}

// A configuration that means nothing is refused; the official keys are all known.
func TestParseConfig(t *testing.T) {
	for _, text := range []string{
		`{"path": "a", "query": "data.b"}`, `{"query": "data.["}`, `{"proto-descriptor": "/nowhere"}`, `{"addr": 1}`,
		`{"evaluation-timeout-milliseconds": 0}`, `{"max-concurrent-streams": 0}`, `{"grpc-max-recv-msg-size": 0}`, `{"proto-descriptor": "plugin_test.go"}`,
	} {
		if config, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", text, config)
		}
	}
	config, err := ParseConfig([]byte(`{"query": "data.a.b.c", "grpc-max-send-msg-size": 5, "grpc-request-duration-seconds-buckets": [1]}`))
	if err != nil || config.question() != "data.a.b.c" || config.Addr != ":9191" {
		t.Errorf("got %+v, %v", config, err)
	}
	if config, err := ParseConfig([]byte(`{}`)); err != nil || config.question() != "envoy/authz/allow" {
		t.Errorf("defaults: got %+v, %v", config, err)
	}
}
