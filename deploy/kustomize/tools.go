//go:build tools

// Package tools pins kustomize: where neither kubectl nor kustomize is on PATH, exactly the
// version in go.mod is built.
package tools

import (
	_ "sigs.k8s.io/kustomize/kustomize/v5"
)
