// Package decisionlog is an OPA plugin that writes every decision to an
// append-only file before the decision is answered. OPA's own decision log drops
// records when its buffer is full; this one makes the asker wait, and a decision
// that cannot be recorded is not given.
package decisionlog

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/report"
	"paymesh.internal/pdp/revision"
)

// PluginName is the plugin's key in OPA's configuration.
const PluginName = "paymesh_decision_log"

// Factory makes the plugin for OPA's runtime.
type Factory struct{}

// Validate reads the plugin's configuration.
func (Factory) Validate(_ *plugins.Manager, content []byte) (any, error) { return ParseConfig(content) }

// New makes the plugin; nothing is opened before Start.
func (Factory) New(manager *plugins.Manager, config any) plugins.Plugin {
	return New(manager, config.(*Config))
}

// Plugin is the decision log. Its methods are safe for concurrent use.
type Plugin struct {
	config  Config
	manager *plugins.Manager
	status  *report.Reporter
	masker  *masker
	tokens  *tokens
	// open gives the guard, the same one each time; nil where none is configured.
	open func() (*revision.Guard, error)

	starting sync.Mutex
	writer   atomic.Pointer[writer]
	writeErr atomic.Pointer[error]
	active   atomic.Pointer[activation]
	observer atomic.Pointer[Observer]

	mutex     sync.Mutex // of the lists
	users     []func(context.Context)
	listeners []func()
}

// New makes a plugin for a manager.
func New(manager *plugins.Manager, config *Config) *Plugin {
	p := &Plugin{
		config:  *config,
		manager: manager,
		status:  report.Start(manager, PluginName),
		masker:  newMasker(context.Background(), manager, config.Mask),
		tokens:  newTokens(context.Background(), manager, config.Token),
	}
	p.open = sync.OnceValues(func() (*revision.Guard, error) {
		if config.RevisionFile == "" {
			return nil, nil
		}
		return revision.Open(config.RevisionFile, config.RevisionFloorFile)
	})
	if config.RevisionFile != "" {
		manager.Store = &veto{Store: manager.Store, check: p.refuse}
	}
	p.active.Store(&activation{tokens: &knownTokens{}, refusal: errNotStarted})
	manager.RegisterCompilerTrigger(func(txn storage.Transaction) { p.activate(context.Background(), txn) })
	return p
}

// Lookup returns the manager's decision log, or nil if none is configured.
func Lookup(manager *plugins.Manager) *Plugin {
	p, _ := manager.Plugin(PluginName).(*Plugin)
	return p
}

// Start opens the log. Another plugin that records may call it first: OPA starts
// plugins in no particular order.
func (p *Plugin) Start(ctx context.Context) error {
	p.starting.Lock()
	defer p.starting.Unlock()
	if p.writer.Load() != nil {
		return nil
	}
	log := &file{
		path:     p.config.Path,
		maxBytes: p.config.MaxBytes,
		sync:     p.config.Fsync == fsyncBatch,
		logger:   p.manager.Logger(),
		now:      time.Now,
	}
	if _, err := p.open(); err != nil {
		return err
	}
	if err := log.open(); err != nil {
		return err
	}
	p.writer.Store(startWriter(log, p.config.MaxPending, p.written))
	p.cautionConfig()
	return storage.Txn(ctx, p.manager.Store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		p.activate(ctx, txn)
		return nil
	})
}

// Stop ends who still records, whatever order OPA stops plugins in, then writes
// what is pending and closes the file.
func (p *Plugin) Stop(ctx context.Context) {
	p.mutex.Lock()
	users := p.users
	p.users = nil
	p.mutex.Unlock()
	for _, stop := range users {
		stop(ctx)
	}
	if w := p.writer.Load(); w != nil {
		if err := w.stop(ctx); err != nil {
			p.manager.Logger().Error("Closing the decision log failed: %v.", err)
		}
	}
	p.status.Set(plugins.StateNotReady, "stopped")
	p.status.Stop()
}

// Reconfigure changes nothing: an open log stays the one it is until a restart.
func (p *Plugin) Reconfigure(context.Context, any) {}

// StopFirst registers who must have stopped before the log may close.
func (p *Plugin) StopFirst(stop func(context.Context)) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.users = append(p.users, stop)
}

// Record returns nil once the record is in the file, else ErrNotRecorded.
func (p *Plugin) Record(ctx context.Context, record *Record) error {
	w := p.writer.Load()
	if w == nil {
		return ErrNotRecorded
	}
	record.Caller = callerIn(p.active.Load().mesh, record.Caller)
	if err := w.write(ctx, record, p.config.MaxRecordBytes); err != nil {
		return err
	}
	if observer := p.observer.Load(); observer != nil {
		(*observer).Observe(record)
	}
	return nil
}

// Redact says what the active policy lets be recorded of the record's input: its
// mask and the facts of its token. A path that is not recorded there is not recorded
// as the rpc either. The transaction is the one that the input was
// judged in.
func (p *Plugin) Redact(ctx context.Context, txn storage.Transaction, record *Record) {
	record.Mask = p.mask(ctx, txn, record.Input)
	if record.Mask.hides("attributes", "request", "http", "path") {
		record.RPC = ""
	}
	record.Token = p.tokens.facts(ctx, txn, p.active.Load().tokens, record.Input)
}

// mask is the active policy's mask for one input. Without a transaction (OPA does not
// hand it to a custom logger, and a second one could wait for ever behind an activation
// that waits for the first) a mask that depends on input and data cannot be had, and
// the input is not recorded.
func (p *Plugin) mask(ctx context.Context, txn storage.Transaction, input ast.Value) Mask {
	masking := p.active.Load().masking
	switch {
	case masking.fixed != nil:
		return *masking.fixed
	case masking.query == nil:
		return Mask{} // not started
	case masking.needsData && txn == nil:
		return omitted(errNeedsTransaction)
	}
	return p.masker.evaluate(ctx, masking.query, txn, input)
}

// written notes whether the last write succeeded; only a change is reported.
func (p *Plugin) written(err error) {
	before := p.writeErr.Load()
	switch {
	case err == nil && before != nil:
		p.writeErr.Store(nil)
		p.manager.Logger().Info("Decisions are recorded again.")
	case err != nil && before == nil:
		p.writeErr.Store(&err)
		p.manager.Logger().Error("Decisions cannot be recorded and are refused: %v.", err)
	default:
		return
	}
	p.reportStatus()
}
