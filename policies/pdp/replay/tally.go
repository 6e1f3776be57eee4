package replay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"paymesh.internal/pdp/symbolic"
)

// Outcome is a decision as a change shows it.
type Outcome struct {
	Reason string `json:"reason"`
	Grant  string `json:"grant"`
}

// Change is a group of decisions that would be taken differently, in the same way.
type Change struct {
	Kind       string    `json:"kind"`
	PolicyPath string    `json:"policy_path"`
	Caller     string    `json:"caller"`
	RPC        string    `json:"rpc"`
	Roles      []string  `json:"roles"`
	Before     Outcome   `json:"before"`
	After      Outcome   `json:"after"`
	Count      int       `json:"count"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Examples   []string  `json:"examples"`

	examples []example
}

// Kinds of changes, the gravest first.
const (
	denyToAllow   = "deny_to_allow"
	allowToDeny   = "allow_to_deny"
	changedReason = "reason"
	changedGrant  = "grant"
)

var kinds = []string{denyToAllow, allowToDeny, changedReason, changedGrant}

type example struct {
	time time.Time
	id   string
}

type group struct {
	kind, path, caller, rpc, roles string
	before, after                  Outcome
}

// tally is what one worker counted; tallies are added up at the end.
type tally struct {
	records, judged, unchanged, partial, missing int
	skipped                                      map[string]int
	changes                                      map[group]*Change
	cut                                          []Cut
	unjudged                                     []example // of which a part is missing
	examples                                     int
}

func newTally(examples int) *tally {
	return &tally{skipped: map[string]int{}, changes: map[group]*Change{}, examples: examples}
}

func (t *tally) compare(r *record, path string, at time.Time, before symbolic.Answer, after *symbolic.Answer) {
	t.judged++
	if before == *after {
		t.unchanged++
		return
	}
	g := group{
		path: path, caller: string(text(r.caller)), rpc: string(text(r.rpc)), roles: string(roles(r.user)),
		before: Outcome{before.Reason, before.Grant}, after: Outcome{after.Reason, after.Grant},
	}
	switch {
	case after.Allowed && !before.Allowed:
		g.kind = denyToAllow
	case before.Allowed && !after.Allowed:
		g.kind = allowToDeny
	case before.Reason != after.Reason:
		g.kind = changedReason
	default:
		g.kind = changedGrant
	}
	change := t.changes[g]
	if change == nil {
		change = &Change{
			Kind: g.kind, PolicyPath: g.path, Caller: g.caller, RPC: g.rpc, Roles: []string{},
			Before: g.before, After: g.after, First: at, Last: at,
		}
		if g.roles != "" {
			// Roles of another form are shown as none.
			_ = json.Unmarshal([]byte(g.roles), &change.Roles)
		}
		t.changes[g] = change
	}
	change.add(1, at, at, []example{{at, string(text(r.id))}}, t.examples)
}

// add keeps the earliest examples, so that it does not matter who counted what.
func (c *Change) add(count int, first, last time.Time, examples []example, most int) {
	c.Count += count
	if first.Before(c.First) {
		c.First = first
	}
	if last.After(c.Last) {
		c.Last = last
	}
	c.examples = earliest(c.examples, examples, most)
}

func earliest(of, more []example, most int) []example {
	if len(of) >= most && (most == 0 || len(more) == 1 && compareExamples(more[0], of[most-1]) > 0) {
		return of
	}
	of = append(of, more...)
	slices.SortFunc(of, compareExamples)
	return of[:min(len(of), most)]
}

func ids(of []example) []string {
	found := make([]string, 0, len(of))
	for _, example := range of {
		found = append(found, example.id)
	}
	return found
}

func compareExamples(a, b example) int {
	return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.id, b.id))
}

// roles of a verified user, as they stand in the record.
func roles(user []byte) []byte {
	if len(user) == 0 || user[0] != '{' {
		return nil
	}
	var found struct {
		Roles json.RawMessage `json:"roles"`
	}
	if json.Unmarshal(user, &found) != nil || !bytes.HasPrefix(found.Roles, []byte("[")) {
		return nil
	}
	return found.Roles
}

func (t *tally) merge(other *tally) {
	t.records += other.records
	t.judged += other.judged
	t.unchanged += other.unchanged
	t.partial += other.partial
	t.missing += other.missing
	for why, count := range other.skipped {
		t.skipped[why] += count
	}
	t.cut = append(t.cut, other.cut...)
	t.unjudged = earliest(t.unjudged, other.unjudged, t.examples)
	for g, change := range other.changes {
		if into := t.changes[g]; into == nil {
			t.changes[g] = change
		} else {
			into.add(change.Count, change.First, change.Last, change.examples, t.examples)
		}
	}
}

// sorted are the changes, the gravest kind first, and in it the most frequent.
func (t *tally) sorted() []*Change {
	changes := make([]*Change, 0, len(t.changes))
	for _, change := range t.changes {
		change.Examples = ids(change.examples)
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b *Change) int {
		return cmp.Or(
			cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(b.Count, a.Count),
			cmp.Compare(a.Caller, b.Caller),
			cmp.Compare(a.RPC, b.RPC),
			cmp.Compare(a.Before.Reason+a.Before.Grant, b.Before.Reason+b.Before.Grant),
			cmp.Compare(a.After.Reason+a.After.Grant, b.After.Reason+b.After.Grant),
			slices.Compare(a.Roles, b.Roles),
			cmp.Compare(a.PolicyPath, b.PolicyPath),
		)
	})
	return changes
}
