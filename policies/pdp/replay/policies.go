package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/reads"
	"paymesh.internal/pdp/recorded"
	"paymesh.internal/pdp/symbolic"
)

// policies is the candidate in each environment that records come from. Safe for
// concurrent use.
type policies struct {
	loaded    *candidate.Policy
	directory string // of the environments; empty for none
	keys      *recorded.Keys
	seen      map[string]*reads.Reads

	mu         sync.Mutex
	byRevision map[string]*environment
	byContent  map[string]*environment
	added      int // environments made for a key that none has
}

// maxAddedKeys: the keys in records are whatever the log's writer wants.
const maxAddedKeys = 64

var errManyKeys = errors.New("too many keys that no policy has")

// environment is data.paymesh.environment of one revision or more, and the candidate's
// decisions in it by their path.
type environment struct {
	content   map[string]any
	isMissing bool // of that revision; the candidate's own stands in for it
	decisions map[string]*symbolic.Policy

	mu   sync.Mutex
	with map[string]*environment // by key id: with one more key of the issuer's
}

func loadPolicies(bundle, directory string) (*policies, error) {
	loaded, err := candidate.Load(bundle, reads.ShowComparisons)
	if err != nil {
		return nil, err
	}
	keys, err := recorded.NewKeys()
	if err != nil {
		return nil, err
	}
	p := &policies{
		loaded: loaded, directory: directory, keys: keys, seen: map[string]*reads.Reads{},
		byRevision: map[string]*environment{}, byContent: map[string]*environment{},
	}
	for _, path := range paths {
		decision := decisionOf(path)
		p.seen[path] = reads.Of(loaded.Compiler, decision.Entry, decision.Results)
	}
	return p, nil
}

// of is the environment that a revision decided in.
func (p *policies) of(ctx context.Context, revision string) (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.byRevision[revision]; known != nil {
		return known, nil
	}
	content, err := readEnvironment(p.directory, revision)
	if err != nil {
		return nil, err
	}
	isMissing := content == nil
	if isMissing {
		content = p.loaded.Environment()
	}
	found, err := p.make(ctx, content, isMissing)
	if err != nil {
		return nil, err
	}
	p.byRevision[revision] = found
	return found, nil
}

func (p *policies) make(ctx context.Context, content map[string]any, isMissing bool) (*environment, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprint(isMissing, " ", string(text))
	if known := p.byContent[key]; known != nil {
		return known, nil
	}
	exchanged, err := p.keys.Environment(content)
	if err != nil {
		return nil, err
	}
	made := &environment{
		content: content, isMissing: isMissing,
		decisions: map[string]*symbolic.Policy{}, with: map[string]*environment{},
	}
	store := p.loaded.Store(exchanged)
	for _, path := range paths {
		made.decisions[path], err = symbolic.NewPolicy(ctx, p.loaded.Compiler, store, p.keys, p.seen[path], decisionOf(path))
		if err != nil {
			return nil, err
		}
	}
	p.byContent[key] = made
	return made, nil
}

// withKey is the environment in which a token was verified by a key that it does not
// have: the record says that it was, so it had.
func (p *policies) withKey(ctx context.Context, e *environment, id string) (*environment, error) {
	if recorded.HasKey(e.content, id) {
		return e, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.with[id]; known != nil {
		return known, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.added >= maxAddedKeys {
		return nil, errManyKeys
	}
	p.added++
	made, err := p.make(ctx, recorded.WithKey(e.content, id), e.isMissing)
	if err == nil {
		e.with[id] = made
	}
	return made, err
}

// distinct is how many questions were evaluated.
func (p *policies) distinct() (total int) {
	for _, environment := range p.byContent {
		for _, decision := range environment.decisions {
			total += decision.Distinct()
		}
	}
	return total
}
