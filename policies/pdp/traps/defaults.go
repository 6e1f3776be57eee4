package traps

import "github.com/open-policy-agent/opa/v1/ast"

// decisive are names of rules that somebody outside asks for, annotated or not.
var decisive = map[string]bool{"allow": true, "deny": true, "decision": true}

// missingDefault: a question that no rule answers is not a refusal, it is undefined, and
// what the asker makes of that nobody reviewed.
func missingDefault(p *policyPackage, module *ast.Module, found report) {
	seen := map[string]bool{}
	for _, rule := range module.Rules {
		name := nameOf(rule)
		if seen[name] || rule.Head.DocKind() != ast.CompleteDoc || len(rule.Head.Args) > 0 {
			continue
		}
		if !decisive[name] && !isEntrypoint(rule) {
			continue
		}
		seen[name] = true
		if !hasDefault(p.rules[name]) {
			found(rule.Location, "%s is asked from outside and has no default: write `default %s := …` with the refusal", name, name)
		}
	}
}

func isEntrypoint(rule *ast.Rule) bool {
	for _, annotation := range rule.Annotations {
		if annotation.Entrypoint {
			return true
		}
	}
	return false
}

func hasDefault(rules []*ast.Rule) bool {
	for _, rule := range rules {
		if rule.Default {
			return true
		}
	}
	return false
}
