package shadow

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// state is what the status file says. Counts begin anew with each candidate.
type state struct {
	// Revision of the candidate that is asked, empty if there is none; it is off if no
	// packages are named.
	Revision string   `json:"revision"`
	Packages []string `json:"packages"`
	// Since is when the candidate came.
	Since time.Time `json:"since"`
	// Problem is why what was fetched last is not used; the candidate before it stays.
	Problem *problem `json:"problem"`

	Evaluated   int64 `json:"evaluated"`
	DenyToAllow int64 `json:"deny_to_allow"`
	AllowToDeny int64 `json:"allow_to_deny"`
	Reason      int64 `json:"reason"`
	Grant       int64 `json:"grant"`
	// Errors: the candidate has no answer, or none that is a decision.
	Errors int64 `json:"errors"`
	// Dropped decisions were not put to the candidate, for want of room.
	Dropped int64 `json:"dropped"`
	// Unwritten differences are counted and not listed, because they could not be written.
	Unwritten int64 `json:"unwritten"`
}

// problem is with a bundle. Its revision is empty when nobody vouches for it.
type problem struct {
	Revision string `json:"revision"`
	Text     string `json:"text"`
}

// counts is the state, and the same in OPA's metrics.
type counts struct {
	mutex   sync.Mutex
	state   state
	metrics *prometheus.CounterVec
	now     func() time.Time
}

func newCounts() *counts {
	c := &counts{now: time.Now, metrics: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "paymesh_shadow_decisions_total",
		Help: "Decisions put to the shadow policy, by how its answer compares with the live one.",
	}, []string{"result"})}
	c.reset(nil)
	return c
}

// reset begins to count for another candidate; nil is none.
func (c *counts) reset(next *candidate) {
	c.change(func(s *state) {
		*s = state{Packages: []string{}, Since: c.now().UTC()}
		if next != nil {
			s.Revision, s.Packages = next.revision, next.packages
		}
	})
}

// trouble notes what is wrong with the last bundle; nil is nothing.
func (c *counts) trouble(found *problem) { c.change(func(s *state) { s.Problem = found }) }

func (c *counts) drop() {
	c.metrics.WithLabelValues("dropped").Inc()
	c.change(func(s *state) { s.Dropped++ })
}

func (c *counts) unwritten() { c.change(func(s *state) { s.Unwritten++ }) }

// evaluated counts a comparison; without a kind there was nothing to compare.
func (c *counts) evaluated(kind Kind, err error) {
	if kind != "" {
		c.metrics.WithLabelValues(string(kind)).Inc()
	}
	if err != nil {
		c.metrics.WithLabelValues("error").Inc()
	}
	c.change(func(s *state) {
		s.Evaluated++
		if err != nil {
			s.Errors++
		}
		switch kind {
		case DenyToAllow:
			s.DenyToAllow++
		case AllowToDeny:
			s.AllowToDeny++
		case OtherReason:
			s.Reason++
		case OtherGrant:
			s.Grant++
		}
	})
}

func (c *counts) change(do func(*state)) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	do(&c.state)
}

func (c *counts) snapshot() state {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.state
}

// encoded is the status file's content.
func (c *counts) encoded() []byte {
	content, err := json.MarshalIndent(c.snapshot(), "", "  ")
	if err != nil {
		return nil // cannot be: strings and numbers
	}
	return append(content, '\n')
}
