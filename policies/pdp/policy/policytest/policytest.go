// Package policytest gives tests a real OPA plugin manager and activates policies
// in it the way a bundle does.
package policytest

import (
	"context"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// BundleName is the name that policies are activated under.
const BundleName = "paymesh"

// Policy is what a bundle would bring.
type Policy struct {
	Revision string
	Rego     string
	// Data is written to data.<key>.
	Data map[string]any
}

// Manager starts a manager with an empty store.
func Manager(t testing.TB) *plugins.Manager {
	t.Helper()
	manager, err := plugins.New([]byte(`{}`), "test", inmem.New())
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.Init(context.Background()); err != nil {
		t.Fatal(err)
	}
	return manager
}

// Activate replaces the active policy in one transaction.
func Activate(t testing.TB, manager *plugins.Manager, policy Policy) {
	t.Helper()
	if err := TryActivate(t, manager, policy); err != nil {
		t.Fatal(err)
	}
}

// TryActivate is Activate for a bundle that may be refused.
func TryActivate(t testing.TB, manager *plugins.Manager, policy Policy) error {
	t.Helper()
	if _, err := ast.ParseModule("policy.rego", policy.Rego); err != nil {
		t.Fatal(err) // the manager would go on without a policy
	}
	ctx, store := context.Background(), manager.Store
	return storage.Txn(ctx, store, storage.TransactionParams{Write: true}, func(txn storage.Transaction) error {
		for key, value := range policy.Data {
			if err := store.Write(ctx, txn, storage.AddOp, storage.Path{key}, value); err != nil {
				return err
			}
		}
		if policy.Revision != "" {
			manifest := bundle.Manifest{Revision: policy.Revision}
			if err := bundle.WriteManifestToStore(ctx, store, txn, BundleName, manifest); err != nil {
				return err
			}
		}
		return store.UpsertPolicy(ctx, txn, "policy.rego", []byte(policy.Rego))
	})
}

// Read runs a function inside a read transaction.
func Read(t testing.TB, manager *plugins.Manager, do func(storage.Transaction)) {
	t.Helper()
	err := storage.Txn(context.Background(), manager.Store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		do(txn)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
