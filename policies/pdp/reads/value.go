package reads

import (
	"maps"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
)

// value is what a term may stand for. Constants and the policy's own data are left
// out: they are the same at every evaluation.
type value struct {
	// places of the documents that are looked at.
	places map[*Place]bool
	// built are the objects and arrays that the policy makes itself.
	built map[*composite]bool
	// derived are the places that a string or number was computed from by builtins.
	derived map[*Place]bool
}

type composite struct {
	members map[string]*value // arrays: by index
	each    *value            // of which it is not known where they stand
}

func (v *value) add(other *value) (changed bool) {
	if other == nil {
		return false
	}
	before := len(v.places) + len(v.built) + len(v.derived)
	merge(&v.places, other.places)
	merge(&v.built, other.built)
	merge(&v.derived, other.derived)
	return len(v.places)+len(v.built)+len(v.derived) != before
}

func merge[K comparable](into *map[K]bool, from map[K]bool) {
	if *into == nil && len(from) > 0 {
		*into = make(map[K]bool, len(from))
	}
	maps.Copy(*into, from)
}

func at(place *Place) *value { return &value{places: map[*Place]bool{place: true}} }

func made(c *composite) *value { return &value{built: map[*composite]bool{c: true}} }

// use notes a use of the places that a value may stand for, and of all that an object
// or array was built of.
func (a *analysis) use(v *value, use Use) {
	a.useWithin(v, use, map[*composite]bool{})
}

func (a *analysis) useWithin(v *value, use Use, seen map[*composite]bool) {
	if v == nil {
		return
	}
	for place := range v.places {
		a.mark(place, use)
	}
	for place := range v.derived {
		if use == Whole {
			a.mark(place, Whole)
		}
	}
	for c := range v.built {
		if seen[c] {
			continue
		}
		seen[c] = true
		below := use
		if use == Test { // a builtin that sees into it sees everything
			below = Whole
		}
		if use != Measure && use != Truth {
			a.useWithin(c.each, below, seen)
			for _, member := range c.members {
				a.useWithin(member, below, seen)
			}
		}
	}
}

func (a *analysis) mark(place *Place, use Use) {
	if place.Use&use != use {
		place.Use |= use
		a.changed = true
	}
}

// step goes down to one member or element.
func (a *analysis) step(v *value, key ast.Value) *value {
	found := &value{}
	if v == nil {
		return found
	}
	for place := range v.places {
		if name, ok := key.(ast.String); ok {
			found.add(at(a.member(place, string(name))))
		} else {
			found.add(at(a.each(place)))
		}
	}
	name := keyOf(key)
	for c := range v.built {
		found.add(c.each)
		for member, below := range c.members {
			if name == "" || name == member {
				found.add(below)
			}
		}
	}
	a.use(&value{derived: v.derived}, Whole)
	return found
}

// keyOf is a constant key as composites name it, empty for any other.
func keyOf(key ast.Value) string {
	switch key := key.(type) {
	case ast.String:
		return "." + string(key)
	case ast.Number:
		if index, ok := key.Int(); ok {
			return strconv.Itoa(index)
		}
	}
	return ""
}

func (a *analysis) member(place *Place, name string) *Place {
	if place.Members[name] == nil {
		a.changed = true
	}
	return place.member(name)
}

func (a *analysis) each(place *Place) *Place {
	if place.Each == nil {
		a.changed = true
	}
	return place.each()
}
