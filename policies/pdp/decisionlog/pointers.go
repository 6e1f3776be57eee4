package decisionlog

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
)

// fate is what the log makes of a value.
type fate uint8

const (
	recorded fate = iota
	// erased: null stands in its place.
	erased
	// leftOut: not even its name is recorded.
	leftOut
)

// pointers is a set of JSON pointers (RFC 6901) as a tree, each with the fate of
// what it points at. A segment "*" stands for every key and index at its place: an
// addition to the RFC, without which a mask for the elements of a list would have
// to look at the input.
type pointers struct {
	fate  fate
	below map[string]*pointers
}

const anySegment = "*"

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// add gives a fate to what a pointer points at; of two the stricter holds.
func (p *pointers) add(pointer string, is fate) error {
	if !strings.HasPrefix(pointer, "/") {
		return fmt.Errorf("mask %q does not start with a slash", pointer)
	}
	node := p
	for segment := range strings.SplitSeq(pointer[1:], "/") {
		segment = unescape.Replace(segment)
		next := node.below[segment]
		if next == nil {
			next = &pointers{}
			if node.below == nil {
				node.below = map[string]*pointers{}
			}
			node.below[segment] = next
		}
		node = next
	}
	node.fate = max(node.fate, is)
	return nil
}

// step goes down one key. The nil set leaves everything as it is.
func (p *pointers) step(key string) (below *pointers, is fate) {
	if p == nil || p.below == nil {
		return nil, recorded
	}
	below = merge(p.below[key], p.below[anySegment])
	if below == nil {
		return nil, recorded
	}
	return below, below.fate
}

// merge makes the union of two sets; neither changes, they are shared.
func merge(a, b *pointers) *pointers {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	union := &pointers{fate: max(a.fate, b.fate), below: make(map[string]*pointers, len(a.below)+len(b.below))}
	for key, node := range a.below {
		union.below[key] = merge(node, b.below[key])
	}
	for key, node := range b.below {
		if a.below[key] == nil {
			union.below[key] = node
		}
	}
	return union
}

// parsedMasks remembers what masks were parsed into, one for each slot: a service's
// calls have few shapes, and so few masks.
type parsedMasks struct {
	slots [32]atomic.Pointer[parsedMask]
}

type parsedMask struct {
	value ast.Value
	set   *pointers
}

func (p *parsedMasks) parse(value ast.Value) (*pointers, error) {
	slot := &p.slots[uint(value.Hash())%uint(len(p.slots))]
	if known := slot.Load(); known != nil && known.value.Compare(value) == 0 {
		return known.set, nil
	}
	set, err := parsePointers(value)
	if err != nil {
		return nil, err
	}
	slot.Store(&parsedMask{value: value, set: set})
	return set, nil
}
