package extauthz

import (
	"context"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/decisionlog"
)

// recorder is where decisions go. Mask is asked inside the transaction that the
// decision was made in, Record outside of it: one that waits for the disk must not
// keep a new policy from being activated.
type recorder interface {
	Mask(ctx context.Context, txn storage.Transaction, input ast.Value) decisionlog.Mask
	Record(ctx context.Context, record *decisionlog.Record) error
	// Refusal is why no decision may be given under the active policy, or nil.
	Refusal() error
	Revision() string
}
