package decide

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/reads"
	"paymesh.internal/pdp/recorded"
)

// readsOf is what a query looks at; nil for one that is more than a reference to data.
func readsOf(policy *candidate.Policy, query string) *reads.Reads {
	ref, err := ast.ParseRef(query)
	if err != nil || !ref.HasPrefix(ast.DefaultRootRef) || !ref.IsGround() {
		return nil
	}
	return reads.Of(policy.Compiler, ref, nil)
}

// partial names what the policy may look at and the question does not hold: JSON
// pointers into the input, and members of the token below /token. Nulls stand for what
// was left out of calls; questions about objects are whole.
func (e *Engine) partial(input any, token json.RawMessage) []string {
	object, ok := input.(map[string]any)
	if !ok || object["attributes"] == nil {
		return nil
	}
	var facts recorded.Token
	hasToken := len(token) > 0 && !bytes.Equal(token, []byte("null"))
	if hasToken && json.Unmarshal(token, &facts) != nil {
		return nil // which is an error of its own
	}
	var found []string
	for _, seen := range e.reads {
		for _, pointer := range recorded.Erased(object) {
			if seen.Input.Knows(pointer) && !(hasToken && pointer == recorded.AuthorizationPointer) {
				found = append(found, pointer)
			}
		}
		if hasToken && facts.Scheme == "unknown" && seen.Input.Knows(recorded.AuthorizationPointer) {
			found = append(found, "/token")
		}
		for _, name := range facts.Withheld {
			if seen.Claims.Knows("/"+name) || seen.Header.Knows("/"+name) {
				found = append(found, "/token/"+name)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
