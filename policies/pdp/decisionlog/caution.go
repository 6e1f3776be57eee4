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

// cautionPolicy says so if a policy can make OPA drop a record before it gets here.
func (p *Plugin) cautionPolicy() {
	compiler := p.manager.GetCompiler()
	if compiler != nil && len(compiler.GetRules(policy.Ref("system/log/drop"))) > 0 {
		p.manager.Logger().Warn("The policy defines system.log.drop: OPA drops records of the REST API because of it.")
	}
}
