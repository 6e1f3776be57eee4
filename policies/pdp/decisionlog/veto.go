package decisionlog

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/footprint"
)

// veto is the manager's store, which does not take the manifest of a bundle that
// the guard refuses. The transaction that activates the bundle fails with it, OPA
// reports why and the policy before stays in force: whoever can hand out an old
// bundle neither widens a decision nor stops one. OPA's hook before an activation
// cannot do that; what it returns is only logged.
type veto struct {
	storage.Store
	check func(name, revision string) error
}

// NewTransaction passes everything on. One that writes is the begin of an activation.
func (s *veto) NewTransaction(ctx context.Context, params ...storage.TransactionParams) (storage.Transaction, error) {
	if len(params) > 0 && params[0].Write {
		footprint.Busy()
	}
	return s.Store.NewTransaction(ctx, params...)
}

// Write passes everything on but a refused manifest.
func (s *veto) Write(ctx context.Context, txn storage.Transaction, op storage.PatchOp, path storage.Path, value any) error {
	if op != storage.RemoveOp {
		if name, ok := manifestOf(path); ok {
			manifest, _ := value.(map[string]any)
			revision, _ := manifest["revision"].(string)
			if err := s.check(name, revision); err != nil {
				return fmt.Errorf("bundle %s is refused: %w", name, err)
			}
		}
	}
	return s.Store.Write(ctx, txn, op, path, value)
}

// manifestOf names the bundle whose manifest stands at a path.
func manifestOf(path storage.Path) (string, bool) {
	base := len(bundle.BundlesBasePath)
	if len(path) <= base {
		return "", false
	}
	return path[base], path.Equal(bundle.ManifestStoragePath(path[base]))
}

// refuse is what the guard has against a bundle, before it is activated.
func (p *Plugin) refuse(name, revision string) error {
	if p.config.RevisionBundle != "" && p.config.RevisionBundle != name {
		return nil
	}
	guard, err := p.open()
	if err != nil {
		return err
	}
	return guard.Check(revision)
}
