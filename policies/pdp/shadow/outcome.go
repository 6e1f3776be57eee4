package shadow

import (
	"errors"
	"regexp"

	"github.com/open-policy-agent/opa/v1/ast"

	"paymesh.internal/pdp/decision"
	"paymesh.internal/pdp/policy"
)

// maxNameBytes bounds what a caller may put into the list of differences.
const maxNameBytes = 128

// A candidate is asked with the caller's token and says what is listed, so it says it in
// these forms or not at all.
var (
	reasonCode = regexp.MustCompile(`^(?:[A-Z][A-Z0-9_]{0,63})?$`)
	grantID    = regexp.MustCompile(`^(?:[a-z][a-z0-9-]{0,63})?$`)
)

// illegalName stands for what has another form.
const illegalName = "ILLEGAL"

var errIllegalName = errors.New("the candidate's reason is no reason code, or its grant no grant's id")

// Outcome is a decision in short.
type Outcome struct {
	Allowed  bool   `json:"allowed"`
	Reason   string `json:"reason"`
	Grant    string `json:"grant"`
	Revision string `json:"revision"`
}

// Kind says how two decisions on the same question differ.
type Kind string

// Same and the others are all that two decisions can be to each other: what was
// refused and would be allowed, the reverse, and the same answer for another reason
// or by another grant.
const (
	Same        Kind = "same"
	DenyToAllow Kind = "deny_to_allow"
	AllowToDeny Kind = "allow_to_deny"
	OtherReason Kind = "reason"
	OtherGrant  Kind = "grant"
)

func compare(live, shadow Outcome) Kind {
	switch {
	case !live.Allowed && shadow.Allowed:
		return DenyToAllow
	case live.Allowed && !shadow.Allowed:
		return AllowToDeny
	case live.Reason != shadow.Reason:
		return OtherReason
	case live.Grant != shadow.Grant:
		return OtherGrant
	}
	return Same
}

// outcomeOf reads a candidate's answer as the live one's is read. What is no
// decision would fail closed, as it would with an error of the evaluation's. Of a
// decision in illegal words what it does counts, and an error too.
func outcomeOf(path string, answer ast.Value, err error) (Outcome, error) {
	var given Outcome
	if err == nil {
		given, err = read(path, answer)
	}
	if err != nil {
		return Outcome{Reason: decision.ReasonPolicyError}, err
	}
	if !reasonCode.MatchString(given.Reason) {
		given.Reason, err = illegalName, errIllegalName
	}
	if !grantID.MatchString(given.Grant) {
		given.Grant, err = illegalName, errIllegalName
	}
	return given, err
}

func read(path string, answer ast.Value) (Outcome, error) {
	if path == entryPoints["paymesh.authz"] {
		given, err := decision.Parse(answer)
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{Allowed: given.Allowed, Reason: given.Reason(), Grant: given.Meta("grant")}, nil
	}
	object, _ := answer.(ast.Object)
	allowed, ok := field(object, "allowed").(ast.Boolean)
	if !ok {
		return Outcome{}, decision.ErrIllegal
	}
	reason, _ := field(object, "reason").(ast.String)
	grant, _ := field(object, "grant").(ast.String)
	return Outcome{Allowed: bool(allowed), Reason: string(reason), Grant: string(grant)}, nil
}

// isOutcome tells an error that the candidate would have in the live one's place
// from one that says nothing about it.
func isOutcome(err error) bool {
	return !errors.Is(err, errLate) && !errors.Is(err, errHeap) && !errors.Is(err, errPanic) && !errors.Is(err, policy.ErrNotLoaded)
}

func field(object ast.Object, name string) ast.Value {
	if object == nil {
		return nil
	}
	if term := object.Get(ast.InternedTerm(name)); term != nil {
		return term.Value
	}
	return nil
}

func bounded(text string) string {
	if len(text) > maxNameBytes {
		return text[:maxNameBytes]
	}
	return text
}
