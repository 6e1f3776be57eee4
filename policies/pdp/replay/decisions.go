package replay

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"paymesh.internal/pdp/decision"
	"paymesh.internal/pdp/policy"
	"paymesh.internal/pdp/symbolic"
)

// The decisions that are recorded and can be repeated, by their policy_path.
const (
	authzPath   = "paymesh/authz/decision"
	objectsPath = "paymesh/objects/decision"
)

var paths = []string{authzPath, objectsPath}

// erasable says in which records a null may stand for something that was left out;
// those of object decisions are whole.
func erasable(path string) bool { return path == authzPath }

func decisionOf(path string) symbolic.Decision {
	decision := symbolic.Decision{Entry: policy.Ref(path), Decode: readAuthz, Results: authzResults}
	if path == objectsPath {
		decision.Decode, decision.Results = readObjects, objectsResults
	}
	return decision
}

// authzResults are what decision.Parse reads closer than by its kind, or the record
// repeats.
var authzResults = []string{"allowed", "http_status", "dynamic_metadata/reason", "dynamic_metadata/grant"}

var objectsResults = []string{"allowed", "reason", "grant"}

var policyError = symbolic.Answer{Reason: decision.ReasonPolicyError}

// readAuthz reads an answer as the decision point does for Envoy. What it could not
// use is a policy error, as in the record.
func readAuthz(value ast.Value) symbolic.Answer {
	if value == nil {
		return policyError
	}
	parsed, err := decision.Parse(value)
	if err != nil {
		return policyError
	}
	return symbolic.Answer{Allowed: parsed.Allowed, Reason: parsed.Reason(), Grant: parsed.Meta("grant")}
}

// readObjects reads an answer as the decision log does for a service's question.
func readObjects(value ast.Value) symbolic.Answer {
	if value == nil {
		return policyError
	}
	allowed, isBoolean := value.(ast.Boolean)
	answer := symbolic.Answer{Allowed: bool(allowed)}
	if object, ok := value.(ast.Object); ok && !isBoolean {
		allowed, _ = lookup(object, "allowed").(ast.Boolean)
		reason, _ := lookup(object, "reason").(ast.String)
		grant, _ := lookup(object, "grant").(ast.String)
		answer = symbolic.Answer{Allowed: bool(allowed), Reason: string(reason), Grant: string(grant)}
	}
	return answer
}

func lookup(object ast.Object, name string) ast.Value {
	if term := object.Get(ast.StringTerm(name)); term != nil {
		return term.Value
	}
	return nil
}
