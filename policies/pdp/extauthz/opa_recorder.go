package extauthz

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	opaserver "github.com/open-policy-agent/opa/v1/server"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/policy"
)

// opaRecorder hands decisions to OPA's own decision log, as the official plugin
// does; without decision_logs in the configuration, to nobody.
type opaRecorder struct {
	manager *plugins.Manager
	active  atomic.Pointer[map[string]string]
}

// Redact does nothing: OPA masks what it logs (system.log.mask).
func (*opaRecorder) Redact(context.Context, storage.Transaction, *decisionlog.Record) {}

func (*opaRecorder) Refusal() error { return nil }

func (r *opaRecorder) Revision() string { return policy.JoinRevisions(r.revisions()) }

func (r *opaRecorder) revisions() map[string]string {
	if active := r.active.Load(); active != nil {
		return *active
	}
	return nil
}

// activate runs inside the transaction that activates a policy.
func (r *opaRecorder) activate(ctx context.Context, txn storage.Transaction) {
	revisions, err := policy.Revisions(ctx, r.manager.Store, txn)
	if err != nil {
		r.manager.Logger().Error("Bundle revisions cannot be read: %v.", err)
	}
	r.active.Store(&revisions)
}

func (r *opaRecorder) Record(ctx context.Context, record *decisionlog.Record) error {
	log := logs.Lookup(r.manager)
	if log == nil {
		return nil
	}
	info := &opaserver.Info{
		DecisionID: record.DecisionID,
		Timestamp:  record.Time,
		Path:       record.PolicyPath,
		Bundles:    map[string]opaserver.BundleInfo{},
		Metrics:    metrics.New(),
		InputAST:   record.Input,
	}
	for name, revision := range r.revisions() {
		info.Bundles[name] = opaserver.BundleInfo{Revision: revision}
	}
	var err error
	if info.Input, err = plain(record.Input); err != nil {
		return err
	}
	if info.Results, err = plain(record.Result); err != nil {
		return err
	}
	if record.Error != "" {
		info.Error = errors.New(record.Error)
	}
	return log.Log(ctx, info)
}

func plain(value ast.Value) (*any, error) {
	if value == nil {
		return nil, nil
	}
	data, err := ast.JSON(value)
	return &data, err
}
