// Package ship is an OPA plugin that sends the decision log to a receiver: OTLP/HTTP,
// or lines of JSON over HTTP. It reads the file that the log writes and shares
// nothing else with it, so that no decision waits for a receiver and what was not
// received is still there, whoever was killed meanwhile. Each decision arrives at
// least once, in the order of the log.
package ship

import (
	"context"
	"sync"

	"github.com/open-policy-agent/opa/v1/plugins"

	"paymesh.internal/pdp/report"
)

// PluginName is the plugin's key in OPA's configuration.
const PluginName = "paymesh_decision_shipping"

// Factory makes the plugin for OPA's runtime.
type Factory struct{}

// Validate reads the plugin's configuration.
func (Factory) Validate(_ *plugins.Manager, content []byte) (any, error) { return ParseConfig(content) }

// New makes the plugin; nothing is read before Start.
func (Factory) New(manager *plugins.Manager, config any) plugins.Plugin {
	return New(manager, config.(*Config))
}

// Plugin is the shipping. It is always ready: decisions do not wait for it.
type Plugin struct {
	config  Config
	manager *plugins.Manager
	status  *report.Reporter
	metrics *shipMetrics
	stop    context.CancelFunc
	group   sync.WaitGroup
}

// New makes a plugin for a manager.
func New(manager *plugins.Manager, config *Config) *Plugin {
	return &Plugin{
		config:  *config,
		manager: manager,
		status:  report.StartReady(manager, PluginName),
		metrics: newMetrics(),
	}
}

// Start begins to ship. It does not fail: a receiver, token or cursor that cannot be
// used now is tried again, and decisions are given meanwhile.
func (p *Plugin) Start(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	if registry := p.manager.PrometheusRegister(); registry != nil {
		if err := registry.Register(p.metrics); err != nil {
			p.manager.Logger().Warn("Metrics of the decisions' shipping are missing: %v.", err)
		}
	}
	s := &shipper{
		config:  &p.config,
		client:  &client{config: &p.config, format: formatOf(&p.config)},
		logger:  p.manager.Logger(),
		metrics: p.metrics,
		say:     func(message string) { p.status.Set(plugins.StateOK, message) },
		pause:   pause,
	}
	p.group.Go(func() { s.run(ctx) })
	return nil
}

// Stop ends it. What was not shipped is after the next start.
func (p *Plugin) Stop(context.Context) {
	if p.stop != nil {
		p.stop()
		p.group.Wait()
		if registry := p.manager.PrometheusRegister(); registry != nil {
			registry.Unregister(p.metrics)
		}
	}
	p.status.Stop()
}

// Reconfigure changes nothing: as for the decision log, a restart does.
func (p *Plugin) Reconfigure(context.Context, any) {}
