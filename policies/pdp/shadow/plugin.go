// Package shadow is an OPA plugin that puts the decisions that were given to another
// policy as well, and counts and lists where the two differ. The candidate comes in
// a bundle of its own, signed with a key of its own. Whatever it does, no decision
// is another for it or later: it is asked after the answer stands in the decision
// log, by a goroutine that nobody waits for.
package shadow

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/plugins"

	"paymesh.internal/pdp/atomicfile"
	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/report"
)

// PluginName is the plugin's key in OPA's configuration.
const PluginName = "paymesh_shadow"

// statusInterval is how often the counts are written, if they changed.
const statusInterval = 500 * time.Millisecond

// Factory makes the plugin for OPA's runtime.
type Factory struct{}

// Validate reads the plugin's configuration.
func (Factory) Validate(_ *plugins.Manager, content []byte) (any, error) { return ParseConfig(content) }

// New makes the plugin; nothing is fetched before Start.
func (Factory) New(manager *plugins.Manager, config any) plugins.Plugin {
	return New(manager, config.(*Config))
}

// Plugin is the shadow. It is always ready: nothing waits for it.
type Plugin struct {
	config  Config
	manager *plugins.Manager
	status  *report.Reporter
	counts  *counts
	worker  *worker
	active  atomic.Pointer[candidate] // nil: none

	wake   chan struct{} // the status file is to be written at once
	stop   context.CancelFunc
	group  sync.WaitGroup
	source *source
}

// New makes a plugin for a manager.
func New(manager *plugins.Manager, config *Config) *Plugin {
	p := &Plugin{
		config:  *config,
		manager: manager,
		status:  report.StartReady(manager, PluginName),
		counts:  newCounts(),
		wake:    make(chan struct{}, 1),
	}
	p.worker = &worker{
		queue:    make(chan *asked, config.MaxPending),
		maxBytes: config.MaxPendingBytes,
		deadline: config.deadline(),
		maxHeap:  config.MaxHeapGrowthBytes,
		counts:   p.counts,
		list:     &list{path: config.Differences, maxBytes: config.MaxLogBytes},
		current:  p.active.Load,
	}
	return p
}

// Start begins to fetch candidates and to be told of decisions.
func (p *Plugin) Start(context.Context) error {
	var err error
	if p.source, err = newSource(p.manager, &p.config, p); err != nil {
		return err
	}
	if registry := p.manager.PrometheusRegister(); registry != nil {
		if err := registry.Register(p.counts.metrics); err != nil {
			return err
		}
	}
	log := decisionlog.Lookup(p.manager)
	if log == nil {
		return fmt.Errorf("%s needs %s", PluginName, decisionlog.PluginName)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.worker.logger = p.manager.Logger()
	p.group.Go(func() { p.worker.run(ctx) })
	p.group.Go(func() { p.writeStatus(ctx) })
	p.source.start(ctx)
	log.Tell(p)
	return nil
}

// Stop ends it. What was not put to the candidate yet is not.
func (p *Plugin) Stop(ctx context.Context) {
	if p.stop != nil {
		p.source.stop(ctx)
		p.stop()
		p.group.Wait()
		if registry := p.manager.PrometheusRegister(); registry != nil {
			registry.Unregister(p.counts.metrics)
		}
	}
	p.status.Stop()
}

// Reconfigure changes nothing: as for the decision log, a restart does.
func (p *Plugin) Reconfigure(context.Context, any) {}

// Observe is told of each decision after it was recorded. It neither waits nor
// fails, whatever the candidate is.
func (p *Plugin) Observe(record *decisionlog.Record) {
	current := p.active.Load()
	if current == nil || record.Input == nil || record.Error != "" {
		return
	}
	question := current.questions[record.PolicyPath]
	if question == nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			p.counts.drop()
		}
	}()
	p.worker.offer(&asked{
		candidate: current,
		question:  question,
		input:     record.Input,
		difference: difference{
			DecisionID: record.DecisionID,
			Time:       record.Time,
			Caller:     bounded(record.Caller),
			RPC:        bounded(record.RPC),
			PolicyPath: record.PolicyPath,
			Live:       Outcome{Allowed: record.Allowed, Reason: record.Reason, Grant: record.Grant, Revision: record.Revision},
		},
	})
}

// use puts decisions to another candidate from now on, or to none.
func (p *Plugin) use(next *candidate) {
	before := p.active.Swap(next)
	switch {
	case next != nil:
		p.manager.Logger().Info("Shadow policy %s: packages %v.", next.revision, next.packages)
	case before != nil:
		p.manager.Logger().Info("There is no shadow policy any more.")
	default:
		return
	}
	p.counts.reset(next)
	p.writeNow()
}

// trouble is told why what was fetched last is not used, and of nil when nothing is
// wrong any more. The candidate before stays.
func (p *Plugin) trouble(found *problem) {
	message := ""
	if found != nil {
		p.manager.Logger().Warn("Shadow policy %q is not used: %s.", found.Revision, found.Text)
		message = "the candidate is not used: " + found.Text
	}
	p.status.Set(plugins.StateOK, message)
	p.counts.trouble(found)
	p.writeNow()
}

// revision of the candidate that is asked, empty if there is none.
func (p *Plugin) revision() string {
	if current := p.active.Load(); current != nil {
		return current.revision
	}
	return ""
}

func (p *Plugin) writeNow() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// writeStatus keeps the status file as it should be until the context ends.
func (p *Plugin) writeStatus(ctx context.Context) {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	var written string
	var failed bool
	for {
		if content := p.counts.encoded(); string(content) != written {
			err := atomicfile.WriteUnsynced(p.config.Status, content)
			if err == nil {
				written = string(content)
			} else if !failed {
				p.manager.Logger().Warn("The shadow policy's counts cannot be written: %v.", err)
			}
			failed = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-ticker.C:
		}
	}
}
