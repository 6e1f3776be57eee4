// Package reads finds out what a compiled policy looks at: which places of its
// input, of a token's header and claims, and whether the time; and what it does with
// what stands there. Whoever repeats recorded decisions needs to tell apart only what
// the policy can tell apart.
//
// The analysis follows values from the input through rules, functions and variables
// to where they are used. It takes no account of which rules apply, so it finds more
// than an evaluation reads, never less. What it does not understand counts as a use
// of the whole value.
package reads

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Use is what a policy does with the value at a place. That it is there, and of what
// kind (null, a boolean, a number, …), is read of every place that is known at all.
type Use uint8

const (
	// Test hands the value to builtins, whose answers are all that the policy sees.
	Test Use = 1 << iota
	// Measure is Test for a scalar; of an object or array only the size is read.
	Measure
	// Truth needs the value to be anything but false.
	Truth
	// Verify compares the value while a token is verified, and so says nothing about it
	// if the token is not by the issuer.
	Verify
	// Whole is any other use: two values that differ at all may be decided differently.
	Whole
)

// Place is something in a document that the policy can name.
type Place struct {
	Use     Use
	Members map[string]*Place // by the object's keys
	Each    *Place            // of every element or member; nil if none is read
}

// Member is the place of an object's member; nil if the policy does not read it.
func (p *Place) Member(name []byte) *Place {
	if below := p.Members[string(name)]; below != nil {
		return below
	}
	return p.Each
}

// Knows says whether the policy looks at the place of a JSON pointer (RFC 6901) from
// here, or at something above it as a whole.
func (p *Place) Knows(pointer string) bool {
	for segment := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if p == nil || p.Use&Whole != 0 {
			return p != nil
		}
		p = p.Member([]byte(unescape.Replace(segment)))
	}
	return p != nil
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// Reads is what a policy looks at.
type Reads struct {
	Input *Place
	// Header and Claims are those of the token in the authorization header.
	Header, Claims *Place
	// WholeTime says that the clock is used in other ways than by asking builtins.
	WholeTime bool
}

// Everything is what is read as long as nothing better is known.
func Everything() *Reads {
	return &Reads{
		Input:     &Place{Use: Whole},
		Header:    &Place{Use: Whole},
		Claims:    &Place{Use: Whole},
		WholeTime: true,
	}
}

// maxRounds: each round finds something that the one before did not; few are needed.
const maxRounds = 1000

// Of finds what the rules at entry, a reference below data, look at. Of their value,
// results names the members that matter, as paths with slashes: to put something into
// another member is no use. No results: all of the value matters.
func Of(compiler *ast.Compiler, entry ast.Ref, results []string) *Reads {
	a := newAnalysis(compiler)
	rounds := 0
	for a.changed = true; a.changed && !a.lost; rounds++ {
		a.changed, a.lost = false, rounds > maxRounds
		a.entry(entry, results)
		for _, rule := range a.reached {
			a.rule(rule)
		}
	}
	if a.lost {
		return Everything()
	}
	for _, root := range []*Place{a.input, a.header, a.claims} {
		root.settle()
	}
	return &Reads{Input: a.input, Header: a.header, Claims: a.claims, WholeTime: a.time.Use&Whole != 0}
}

// settle makes the tree easy to walk: what holds for each member is merged into those
// that are named, and below a whole value there is nothing more to say.
func (p *Place) settle() {
	if p.Use&Whole != 0 {
		p.Members, p.Each = nil, nil
		return
	}
	for _, member := range p.Members {
		if p.Each != nil {
			member.merge(p.Each)
		}
		member.settle()
	}
	if p.Each != nil {
		p.Each.settle()
	}
}

func (p *Place) merge(other *Place) {
	p.Use |= other.Use
	for name, place := range other.Members {
		p.member(name).merge(place)
	}
	if other.Each != nil {
		p.each().merge(other.Each)
	}
}

func (p *Place) member(name string) *Place {
	if p.Members[name] == nil {
		if p.Members == nil {
			p.Members = map[string]*Place{}
		}
		p.Members[name] = &Place{}
	}
	return p.Members[name]
}

func (p *Place) each() *Place {
	if p.Each == nil {
		p.Each = &Place{}
	}
	return p.Each
}
