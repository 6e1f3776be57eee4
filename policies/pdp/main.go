// Command paymesh-pdp is the policy decision point: the OPA command line with
// an Envoy ext_authz server and a decision log that never drops as plugins.
package main

import (
	"errors"
	"os"

	"github.com/open-policy-agent/opa/cmd"
	"github.com/open-policy-agent/opa/v1/runtime"
	"github.com/spf13/cobra"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/extauthz"
)

func main() {
	runtime.RegisterPlugin(extauthz.PluginName, extauthz.Factory{})
	runtime.RegisterPlugin(decisionlog.PluginName, decisionlog.Factory{})
	root := &cobra.Command{
		Use:   "paymesh-pdp",
		Short: "Paymesh policy decision point: OPA with ext_authz and a decision log",
	}
	err := cmd.Command(root, "OPA").Execute()
	if exit, ok := errors.AsType[*cmd.ExitError](err); ok {
		os.Exit(exit.Exit)
	} else if err != nil {
		os.Exit(1)
	}
}
