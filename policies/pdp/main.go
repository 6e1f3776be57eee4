// Command paymesh-pdp is the policy decision point: the OPA command line with
// an Envoy ext_authz server, a decision log that never drops, its shipping and a
// shadow policy as plugins.
package main

import (
	"os"

	"github.com/open-policy-agent/opa/cmd"
	"github.com/open-policy-agent/opa/v1/runtime"
	"github.com/spf13/cobra"

	"paymesh.internal/pdp/benchdecisions"
	"paymesh.internal/pdp/compileserver"
	"paymesh.internal/pdp/decide"
	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/extauthz"
	"paymesh.internal/pdp/footprint"
	"paymesh.internal/pdp/mutate"
	"paymesh.internal/pdp/places"
	"paymesh.internal/pdp/replay"
	"paymesh.internal/pdp/shadow"
	"paymesh.internal/pdp/ship"
	"paymesh.internal/pdp/traps"
)

func main() {
	footprint.Manage()
	runtime.RegisterPlugin(extauthz.PluginName, extauthz.Factory{})
	runtime.RegisterPlugin(decisionlog.PluginName, decisionlog.Factory{})
	runtime.RegisterPlugin(shadow.PluginName, shadow.Factory{})
	runtime.RegisterPlugin(ship.PluginName, ship.Factory{})
	root := &cobra.Command{Use: "paymesh-pdp", Short: "Paymesh policy decision point, built on OPA"}
	root = cmd.Command(root, "OPA")
	root.AddCommand(
		benchdecisions.Command(),
		compileserver.Command(),
		decide.Command(),
		mutate.Command(),
		places.Command(),
		replay.Command(),
		replay.SampleCommand(),
		traps.Command(),
	)
	switch err := root.Execute().(type) {
	case nil:
	case *cmd.ExitError: // of test, check and others, whose codes mean something
		os.Exit(err.Exit)
	default:
		os.Exit(1)
	}
}
