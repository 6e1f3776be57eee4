package traps

import "github.com/open-policy-agent/opa/v1/ast"

// replayable go by a clock that a recorded decision knows.
var replayable = map[string]bool{"time.now_ns": true, "io.jwt.decode_verify": true}

// nondeterministic: what asks the network, the process or chance cannot be replayed, and a
// decision that waits for a stranger fails when the stranger does.
func nondeterministic(_ *policyPackage, module *ast.Module, found report) {
	calls(module, func(c call) {
		if ast.BuiltinMap[c.name] != nil && ast.BuiltinMap[c.name].Nondeterministic && !replayable[c.name] {
			found(c.at, "%s makes the answer depend on more than input, data and time: bring what it says as data in the bundle", c.name)
		}
	})
}
