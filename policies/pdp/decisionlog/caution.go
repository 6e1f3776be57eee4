package decisionlog

import (
	"github.com/open-policy-agent/opa/v1/util"

	"paymesh.internal/pdp/policy"
)

// cautionConfig says so if REST decisions do not come here.
func (p *Plugin) cautionConfig() {
	var opa struct {
		Plugin string `json:"plugin"`
	}
	if raw := p.manager.GetConfig().DecisionLogs; raw != nil {
		if err := util.Unmarshal(raw, &opa); err != nil {
			p.manager.Logger().Warn("decision_logs cannot be read: %v.", err)
		}
	}
	if opa.Plugin != PluginName {
		p.manager.Logger().Warn("decision_logs.plugin is not %s: decisions of the REST API are not recorded.", PluginName)
	}
}

// cautionPolicy says so if a policy can make OPA lose a record before it gets
// here: OPA's own masking answers the caller even if it fails, and its dropping
// is meant to lose.
func (p *Plugin) cautionPolicy() {
	compiler := p.manager.GetCompiler()
	if compiler == nil {
		return
	}
	for _, path := range []string{"system/log/mask", "system/log/drop"} {
		if len(compiler.GetRules(policy.Ref(path))) > 0 {
			p.manager.Logger().Warn("The policy defines %s: OPA may drop records of the REST API because of it.", path)
		}
	}
}
