package symbolic

import (
	"errors"
	"hash/maphash"
	"sync"
)

// Answer is a decision in short.
type Answer struct {
	Allowed bool
	Reason  string
	Grant   string
	// Partial: it hangs on something that the record does not hold. The rest is then
	// without meaning.
	Partial bool
}

// forest is a tree of tests for each form. Safe for concurrent use.
type forest struct {
	shards [shards]shard
	seed   maphash.Seed
}

const shards = 64

type shard struct {
	mu    sync.RWMutex
	trees map[string]*node
	paths int
}

// node is a test and what comes after each of its outcomes, or the end of a path.
type node struct {
	answer *Answer
	test   *test
	next   [outcomes]*node
}

// step is a test and the outcome that it had.
type step struct {
	test    *test
	outcome outcome
}

func newForest() *forest {
	f := &forest{seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].trees = map[string]*node{}
	}
	return f
}

func (f *forest) of(key []byte) *shard { return &f.shards[maphash.Bytes(f.seed, key)%shards] }

// find goes down the form's tree; nil if nobody went this way before.
func (f *forest) find(form *Form, values *registers) *Answer {
	shard := f.of(form.Key)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	at := shard.trees[string(form.Key)]
	if at != nil && at.test != nil {
		values.load(form)
	}
	for at != nil {
		if at.answer != nil {
			return at.answer
		}
		outcome, value, err := values.run(at.test)
		if err != nil {
			return nil
		}
		if outcome == isValue {
			values.add(value)
		}
		at = at.next[outcome]
	}
	return nil
}

var errTwoWays = errors.New("two evaluations of one form asked different things")

// add puts a path into the form's tree. It may be there already: two evaluations may
// have gone the same way at the same time.
func (f *forest) add(key []byte, path []step, answer *Answer) error {
	shard := f.of(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	at := shard.trees[string(key)]
	if at == nil {
		at = &node{}
		shard.trees[string(key)] = at
	}
	for _, step := range path {
		switch {
		case at.answer != nil:
			return errTwoWays
		case at.test == nil:
			at.test = step.test
		case !at.test.equal(step.test):
			return errTwoWays
		}
		if at.next[step.outcome] == nil {
			at.next[step.outcome] = &node{}
		}
		at = at.next[step.outcome]
	}
	switch {
	case at.answer != nil:
		if *at.answer != *answer {
			return errTwoWays
		}
		return nil
	case at.test != nil:
		return errTwoWays
	}
	at.answer = answer
	shard.paths++
	return nil
}

func (t *test) equal(other *test) bool {
	if t.name != other.name || len(t.operands) != len(other.operands) {
		return false
	}
	for i, o := range t.operands {
		p := other.operands[i]
		switch {
		case o.constant == nil || p.constant == nil:
			if o.constant != p.constant || o.register != p.register {
				return false
			}
		case !o.constant.Equal(p.constant):
			return false
		}
	}
	return true
}

// size is the number of paths: how many evaluations were needed.
func (f *forest) size() (paths int) {
	for i := range f.shards {
		f.shards[i].mu.RLock()
		paths += f.shards[i].paths
		f.shards[i].mu.RUnlock()
	}
	return paths
}
