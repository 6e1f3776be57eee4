package policy

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/storage"
)

// Revisions reads the revision of each active bundle by name.
func Revisions(ctx context.Context, store storage.Store, txn storage.Transaction) (map[string]string, error) {
	names, err := bundle.ReadBundleNamesFromStore(ctx, store, txn)
	if storage.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	revisions := make(map[string]string, len(names))
	for _, name := range names {
		revision, err := bundle.ReadBundleRevisionFromStore(ctx, store, txn, name)
		if err != nil && !storage.IsNotFound(err) {
			return nil, err
		}
		revisions[name] = revision
	}
	return revisions, nil
}

// JoinRevisions writes revisions as one string: the revision alone if there is
// one bundle, else name=revision, sorted and comma separated.
func JoinRevisions(revisions map[string]string) string {
	parts := make([]string, 0, len(revisions))
	for _, name := range slices.Sorted(maps.Keys(revisions)) {
		if len(revisions) == 1 {
			return revisions[name]
		}
		parts = append(parts, name+"="+revisions[name])
	}
	return strings.Join(parts, ",")
}
