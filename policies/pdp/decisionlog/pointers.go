package decisionlog

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
)

// pointers is a set of JSON pointers (RFC 6901) as a tree. A segment "*" stands
// for every key and index at its place: an addition to the RFC, without which a
// mask for the elements of a list would have to look at the input.
type pointers struct {
	erased bool
	below  map[string]*pointers
}

const anySegment = "*"

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

func (p *pointers) add(pointer string) error {
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
	node.erased = true
	return nil
}

// step goes down one key. The nil set erases nothing.
func (p *pointers) step(key string) (below *pointers, erased bool) {
	if p == nil || p.below == nil {
		return nil, false
	}
	named, every := p.below[key], p.below[anySegment]
	switch {
	case named != nil && named.erased, every != nil && every.erased:
		return nil, true
	case named == nil:
		return every, false
	case every == nil:
		return named, false
	}
	return merge(named, every), false
}

// merge makes the union of two sets; neither changes, they are shared.
func merge(a, b *pointers) *pointers {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	union := &pointers{erased: a.erased || b.erased, below: make(map[string]*pointers, len(a.below)+len(b.below))}
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
