package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/policy"
)

// Mask says what of an input is recorded. The zero Mask records nothing of it:
// forgetting to ask is not a leak.
type Mask struct {
	pointers *pointers
	// omit is why there is no input in the record; of a zero Mask it is "unmasked".
	omit string
}

// hides says whether a value of the input, or something around it, is not recorded
// although the rest of the input is.
func (m Mask) hides(segments ...string) bool {
	node := m.pointers
	for _, segment := range segments {
		var is fate
		if node, is = node.step(segment); is != recorded {
			return true
		}
	}
	return false
}

// The mask document is an object of two sets (or lists) of JSON pointers.
const (
	eraseKey    = "erase"
	leaveOutKey = "leave_out"
)

// always is erased whatever the policy says. A body's raw bytes and a header's
// raw value would undo the erasure of a field, and these headers are credentials
// by definition.
var always = []string{
	"/attributes/request/http/body",
	"/attributes/request/http/rawBody",
	"/attributes/request/http/headerMap",
	"/attributes/request/http/headers/authorization",
	"/attributes/request/http/headers/cookie",
	"/attributes/request/http/headers/proxy-authorization",
}

// masker evaluates the mask document.
type masker struct {
	manager *plugins.Manager
	ref     ast.Ref
	// attached sees the policy's data, detached only its rules and the input.
	attached, detached *policy.Query
	parsed             parsedMasks
}

// masking is how the active policy's mask is had.
type masking struct {
	// fixed is the mask if it does not look at the input: evaluated once, when the
	// policy is activated.
	fixed *Mask
	// query is asked about each input otherwise.
	query *policy.Query
	// needsData: query needs the transaction that the input was judged in.
	needsData bool
}

func newMasker(ctx context.Context, manager *plugins.Manager, path string) *masker {
	return &masker{
		manager:  manager,
		ref:      policy.Ref(path),
		attached: policy.NewQuery(ctx, manager, policy.Body(path)),
		detached: policy.NewDetachedQuery(ctx, manager, policy.Body(path)),
	}
}

// prepare looks at the newly activated policy's mask.
func (m *masker) prepare(ctx context.Context, txn storage.Transaction) masking {
	m.attached.Prepare(ctx, txn)
	m.detached.Prepare(ctx, txn)
	usesInput, usesData, err := m.uses()
	switch {
	case err != nil:
		mask := omitted(err)
		return masking{fixed: &mask}
	case !usesInput:
		mask := m.evaluate(ctx, m.attached, txn, nil)
		return masking{fixed: &mask}
	case usesData:
		return masking{query: m.attached, needsData: true}
	}
	return masking{query: m.detached}
}

// uses says what the mask depends on, whatever rules it goes through.
func (m *masker) uses() (input, data bool, err error) {
	compiler := m.manager.GetCompiler()
	if compiler == nil {
		return false, false, policy.ErrNotLoaded
	}
	refs, err := dependencies.Base(compiler, m.ref)
	for _, ref := range refs {
		if ref.HasPrefix(ast.InputRootRef) {
			input = true
		} else {
			data = true
		}
	}
	return input, data, err
}

func (m *masker) evaluate(ctx context.Context, query *policy.Query, txn storage.Transaction, input ast.Value) Mask {
	value, err := query.Eval(ctx, txn, input, time.Now(), policy.LogPrints{Logger: m.manager.Logger()})
	if err != nil {
		return omitted(err)
	}
	set, err := m.parsed.parse(value)
	if err != nil {
		return omitted(err)
	}
	return Mask{pointers: set}
}

// omitted: without a mask the input is not recorded at all, never as it is.
func omitted(err error) Mask {
	if errors.Is(err, policy.ErrUndefined) {
		return Mask{omit: "the mask is undefined"}
	}
	return Mask{omit: "the mask failed: " + err.Error()}
}

func parsePointers(value ast.Value) (*pointers, error) {
	document, ok := value.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("it is a %s and not an object", ast.ValueName(value))
	}
	mask := &pointers{}
	for _, pointer := range always {
		if err := mask.add(pointer, erased); err != nil {
			return nil, err
		}
	}
	return mask, document.Iter(func(key, list *ast.Term) error {
		switch key.Value {
		case ast.String(eraseKey):
			return mask.addAll(list.Value, erased)
		case ast.String(leaveOutKey):
			return mask.addAll(list.Value, leftOut)
		}
		return fmt.Errorf("it has the key %v, which means nothing", key)
	})
}

func (p *pointers) addAll(list ast.Value, is fate) error {
	collection, ok := list.(interface {
		Iter(func(*ast.Term) error) error
	})
	if !ok {
		return fmt.Errorf("it has a %s where a set of strings belongs", ast.ValueName(list))
	}
	return collection.Iter(func(element *ast.Term) error {
		pointer, ok := element.Value.(ast.String)
		if !ok {
			return fmt.Errorf("it has a %s where a string belongs", ast.ValueName(element.Value))
		}
		return p.add(string(pointer), is)
	})
}
