package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/policy"
	"paymesh.internal/pdp/revision"
)

const retryInterval = time.Second

var errNotStarted = errors.New("the decision log is not open yet")

// activation is what changes when a bundle is activated.
type activation struct {
	masking masking
	tokens  *knownTokens
	mesh    policy.Mesh
	// revision as it is recorded.
	revision string
	// refusal is why no decision may be given under this policy, or nil.
	refusal error
}

// activate runs inside the transaction that activates a policy, before anybody
// can ask it.
func (p *Plugin) activate(ctx context.Context, txn storage.Transaction) {
	next := &activation{
		masking: p.masker.prepare(ctx, txn),
		tokens:  &knownTokens{},
		mesh:    policy.ReadMesh(ctx, p.manager.Store, txn),
	}
	p.tokens.query.Prepare(ctx, txn)
	revisions, err := policy.Revisions(ctx, p.manager.Store, txn)
	next.revision = policy.JoinRevisions(revisions)
	if err == nil {
		err = p.admit(revisions)
	}
	next.refusal = err
	p.active.Store(next)
	p.cautionPolicy()
	if err != nil {
		p.manager.Logger().Error("The active policy is not used: %v.", err)
		p.retry(next, revisions)
	}
	p.reportStatus()
}

// retry asks the guard again later if it was the disk and not the revision that
// stood in the way.
func (p *Plugin) retry(failed *activation, revisions map[string]string) {
	if errors.Is(failed.refusal, revision.ErrOlder) || errors.Is(failed.refusal, revision.ErrForm) {
		return
	}
	time.AfterFunc(retryInterval, func() {
		next := *failed
		next.refusal = p.admit(revisions)
		if !p.active.CompareAndSwap(failed, &next) {
			return // another policy is active by now
		}
		if next.refusal != nil {
			p.retry(&next, revisions)
			return
		}
		p.reportStatus()
	})
}

// admit asks the guard about a bundle. A policy that came from no bundle (files on
// the command line) has no revision to compare and is not the guard's business.
func (p *Plugin) admit(revisions map[string]string) error {
	guard, err := p.open()
	if err != nil || guard == nil || len(revisions) == 0 {
		return err
	}
	name := p.config.RevisionBundle
	if name == "" {
		if len(revisions) > 1 {
			return fmt.Errorf("\"revision_bundle\" must say which of %d bundles is guarded", len(revisions))
		}
		for name = range revisions {
		}
	}
	return guard.Admit(revisions[name])
}

// Refusal is why no decision may be given now, or nil: what is active could not be
// compared with what was seen before, or not be remembered.
func (p *Plugin) Refusal() error { return p.active.Load().refusal }

// Revision of the active policy, as it is recorded.
func (p *Plugin) Revision() string { return p.active.Load().revision }

// OnChange registers who is told when Refusal may have changed.
func (p *Plugin) OnChange(listener func()) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.listeners = append(p.listeners, listener)
}

func (p *Plugin) reportStatus() {
	switch write, refusal := p.writeErr.Load(), p.Refusal(); {
	case refusal != nil:
		p.status.Set(plugins.StateErr, refusal.Error())
	case write != nil:
		p.status.Set(plugins.StateErr, (*write).Error())
	default:
		p.status.Set(plugins.StateOK, "")
	}
	p.mutex.Lock()
	listeners := slices.Clone(p.listeners)
	p.mutex.Unlock()
	for _, listener := range listeners {
		listener()
	}
}
