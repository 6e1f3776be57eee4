package reads

import (
	"maps"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

type analysis struct {
	compiler       *ast.Compiler
	input          *Place
	header, claims *Place
	time           *Place
	all            []*ast.Rule
	reached        []*ast.Rule
	isReached      map[*ast.Rule]bool
	results        map[*ast.Rule]*value
	parameters     map[string][]*value
	variables      map[variable]*value
	composites     map[*ast.Term]*composite
	decoded        *value // [header, claims, signature] of a token
	verified       *value // [verdict, header, claims] of a verified one
	changed        bool   // something was found in this round
	lost           bool   // the policy does what this analysis cannot follow
}

// variable is one within a rule with its else branches: the same name in two branches
// counts as one variable, which finds more and never less.
type variable struct {
	rule *ast.Rule
	name ast.Var
}

// scope is where a term stands: the rule, and the variables that have a value there.
type scope struct {
	rule  *ast.Rule
	bound map[ast.Var]bool
}

func (s scope) closure() scope { return scope{s.rule, maps.Clone(s.bound)} }

func newAnalysis(compiler *ast.Compiler) *analysis {
	a := &analysis{
		compiler:   compiler,
		input:      &Place{},
		header:     &Place{},
		claims:     &Place{},
		time:       &Place{},
		isReached:  map[*ast.Rule]bool{},
		results:    map[*ast.Rule]*value{},
		parameters: map[string][]*value{},
		variables:  map[variable]*value{},
		composites: map[*ast.Term]*composite{},
	}
	for _, module := range compiler.Modules {
		a.all = append(a.all, module.Rules...)
	}
	header, claims := at(a.header), at(a.claims)
	a.decoded = made(&composite{members: map[string]*value{"0": header, "1": claims}})
	a.verified = made(&composite{members: map[string]*value{"1": header, "2": claims}})
	return a
}

func (a *analysis) entry(entry ast.Ref, results []string) {
	answer := a.data(entry, scope{bound: map[ast.Var]bool{}})
	if results == nil {
		a.use(answer, Whole)
	}
	for _, path := range results {
		member := answer
		for name := range strings.SplitSeq(path, "/") {
			member = a.step(member, ast.String(name))
		}
		a.use(member, Whole)
	}
	a.use(&value{places: answer.places, derived: answer.derived}, Whole)
}

func (a *analysis) rule(root *ast.Rule) {
	for rule := root; rule != nil; rule = rule.Else {
		s := scope{root, map[ast.Var]bool{}}
		for i, parameter := range rule.Head.Args {
			a.unifyWith(parameter, a.parameter(root, i), s)
		}
		a.body(rule.Body, s)
		a.head(root, rule.Head, s)
	}
}

// head adds what a rule is worth. What becomes a key, or an element of a set, is
// compared with others.
func (a *analysis) head(root *ast.Rule, head *ast.Head, s scope) {
	result := a.result(root)
	keys := head.Ref()
	for i, key := range keys {
		if i > 0 && !isConstant(key) {
			a.use(a.term(key, s), Whole)
		}
	}
	var found *value
	switch {
	case head.Value != nil:
		found = a.term(head.Value, s)
	case head.Key != nil:
		found = a.term(head.Key, s)
		a.use(found, Whole)
	}
	if head.RuleKind() == ast.MultiValue {
		a.use(found, Whole)
		elements := a.composite(head.Key)
		a.put(elements, "", found)
		found = made(elements)
	}
	a.changed = result.add(found) || a.changed
}

func (a *analysis) result(rule *ast.Rule) *value {
	if a.results[rule] == nil {
		a.results[rule] = &value{}
	}
	return a.results[rule]
}

func (a *analysis) parameter(rule *ast.Rule, index int) *value {
	path := rule.Ref().String()
	for len(a.parameters[path]) <= index {
		a.parameters[path] = append(a.parameters[path], &value{})
	}
	return a.parameters[path][index]
}

func (a *analysis) variable(name ast.Var, s scope) *value {
	key := variable{s.rule, name}
	if a.variables[key] == nil {
		a.variables[key] = &value{}
	}
	return a.variables[key]
}

// data is what a reference below data may stand for. The policy's data are constant,
// so only its rules count.
func (a *analysis) data(ref ast.Ref, s scope) *value {
	found := &value{}
	for _, rule := range a.all {
		path := rule.Ref()
		if !overlap(path, ref) {
			continue
		}
		a.reach(rule)
		below := a.result(rule)
		if len(ref) < len(path) { // an object that the rule's value is somewhere in
			a.use(below, Whole)
			continue
		}
		found.add(a.follow(below, ref[len(path):], s))
	}
	for _, key := range ref[1:] {
		a.key(key, s)
	}
	return found
}

func (a *analysis) reach(rule *ast.Rule) {
	if !a.isReached[rule] {
		a.isReached[rule] = true
		a.reached = append(a.reached, rule)
		a.changed = true
	}
}

// overlap says whether two references may name the same, or one something in the other.
func overlap(path, ref ast.Ref) bool {
	for i := range min(len(path), len(ref)) {
		if isConstant(path[i]) && isConstant(ref[i]) && i > 0 && !path[i].Equal(ref[i]) {
			return false
		}
	}
	return true
}

func isConstant(term *ast.Term) bool { return ast.IsScalar(term.Value) }

func (a *analysis) follow(v *value, keys []*ast.Term, s scope) *value {
	for _, key := range keys {
		a.key(key, s)
		v = a.step(v, key.Value)
	}
	return v
}

// key notes that a value is looked up: it is compared with the keys that there are. A
// variable without a value takes each of them.
func (a *analysis) key(key *ast.Term, s scope) {
	if name, ok := key.Value.(ast.Var); ok && !s.bound[name] {
		s.bound[name] = true
		return
	}
	if !isConstant(key) {
		a.use(a.term(key, s), Whole)
	}
}

// term is what a term may stand for.
func (a *analysis) term(term *ast.Term, s scope) *value {
	switch t := term.Value.(type) {
	case ast.Var:
		return a.variable(t, s)
	case ast.Ref:
		return a.ref(t, s)
	case *ast.Array:
		c := a.composite(term)
		for i := range t.Len() {
			a.put(c, strconv.Itoa(i), a.term(t.Elem(i), s))
		}
		return made(c)
	case ast.Object:
		c := a.composite(term)
		t.Foreach(func(key, member *ast.Term) {
			if !isConstant(key) {
				a.use(a.term(key, s), Whole)
			}
			a.put(c, keyOf(key.Value), a.term(member, s))
		})
		return made(c)
	}
	return a.collection(term, s)
}

func (a *analysis) collection(term *ast.Term, s scope) *value {
	c := a.composite(term)
	switch t := term.Value.(type) {
	case ast.Set:
		t.Foreach(func(element *ast.Term) { a.use(a.term(element, s), Whole) })
	case *ast.ArrayComprehension:
		s = s.closure()
		a.body(t.Body, s)
		a.put(c, "", a.term(t.Term, s))
	case *ast.SetComprehension:
		s = s.closure()
		a.body(t.Body, s)
		a.use(a.term(t.Term, s), Whole)
	case *ast.ObjectComprehension:
		s = s.closure()
		a.body(t.Body, s)
		a.use(a.term(t.Key, s), Whole)
		a.put(c, "", a.term(t.Value, s))
	default:
		// Calls stand in expressions of their own after compilation; whatever else there
		// may be is not known here.
		a.lost = a.lost || !isConstant(term)
		return &value{}
	}
	return made(c)
}

func (a *analysis) composite(term *ast.Term) *composite {
	if a.composites[term] == nil {
		a.composites[term] = &composite{members: map[string]*value{}, each: &value{}}
	}
	return a.composites[term]
}

// put adds a member; one without a constant key may stand anywhere.
func (a *analysis) put(c *composite, key string, v *value) {
	into := c.each
	if key != "" {
		if c.members[key] == nil {
			c.members[key] = &value{}
		}
		into = c.members[key]
	}
	a.changed = into.add(v) || a.changed
}

func (a *analysis) ref(ref ast.Ref, s scope) *value {
	switch {
	case ref[0].Equal(ast.InputRootDocument):
		return a.follow(at(a.input), ref[1:], s)
	case ref[0].Equal(ast.DefaultRootDocument):
		return a.data(ref, s)
	}
	return a.follow(a.term(ref[0], s), ref[1:], s)
}
