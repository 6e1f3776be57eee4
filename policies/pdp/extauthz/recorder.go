package extauthz

import (
	"context"

	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/decisionlog"
)

// recorder is where decisions go. Redact is called inside the transaction that the
// decision was made in, Record outside of it: one that waits for the disk must not
// keep a new policy from being activated.
type recorder interface {
	// Redact notes what may be recorded of the record's input.
	Redact(ctx context.Context, txn storage.Transaction, record *decisionlog.Record)
	Record(ctx context.Context, record *decisionlog.Record) error
	// Refusal is why no decision may be given under the active policy, or nil.
	Refusal() error
	Revision() string
}
