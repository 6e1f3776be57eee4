package report_test

import (
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/plugins"

	"paymesh.internal/pdp/policy/policytest"
	"paymesh.internal/pdp/report"
)

// The manager learns the last state; Set never waits for it, also after Stop.
func TestReporter(t *testing.T) {
	manager := policytest.Manager(t)
	reporter := report.Start(manager, "p")
	for _, state := range []plugins.State{plugins.StateOK, plugins.StateErr, plugins.StateOK} {
		reporter.Set(state, "why")
	}
	deadline := time.Now().Add(5 * time.Second)
	for manager.PluginStatus()["p"] == nil || manager.PluginStatus()["p"].State != plugins.StateOK {
		if time.Now().After(deadline) {
			t.Fatalf("got %v", manager.PluginStatus()["p"])
		}
		time.Sleep(time.Millisecond)
	}
	reporter.Set(plugins.StateNotReady, "stopped")
	for range 2 {
		reporter.Stop()
	}
	reporter.Set(plugins.StateOK, "too late")
	if got := manager.PluginStatus()["p"]; got.State != plugins.StateNotReady || got.Message != "stopped" {
		t.Errorf("got %v", got)
	}
}
