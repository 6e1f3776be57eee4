//go:build tools

// Package tools pins SPIRE: `make setup` builds exactly the version in go.mod.
package tools

import (
	_ "github.com/spiffe/spire/cmd/spire-agent"
	_ "github.com/spiffe/spire/cmd/spire-server"
)
