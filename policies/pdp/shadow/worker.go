package shadow

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/logging"
)

var (
	errLate  = errors.New("the candidate took too long")
	errHeap  = errors.New("the candidate took too much memory")
	errPanic = errors.New("the candidate panicked")
)

// asked is a decision that was given and waits to be put to a candidate.
type asked struct {
	candidate *candidate
	question  question
	input     ast.Value
	weight    int64
	// difference without a kind and the candidate's outcome.
	difference
}

// worker is the one goroutine that asks candidates. It has the process's threads to
// share, so it is one: the other thread stays free for decisions. The system's own
// priorities are no help, because a thread that does not run may hold a lock of the
// runtime's or be waited for by its collector.
type worker struct {
	queue    chan *asked
	maxBytes int64
	pending  atomic.Int64 // bytes

	deadline time.Duration
	maxHeap  uint64
	counts   *counts
	list     *list
	logger   logging.Logger
	// current is the candidate that is on; what waits for another is not asked.
	current func() *candidate
	// troubled is the candidate whose trouble was logged last.
	troubled *candidate
}

// offer never waits.
func (w *worker) offer(a *asked) {
	a.weight = weight(a.input, w.maxBytes+1)
	if w.pending.Add(a.weight) <= w.maxBytes {
		select {
		case w.queue <- a:
			return
		default:
		}
	}
	w.pending.Add(-a.weight)
	w.counts.drop()
}

// run asks until the context ends; what waits then is let go.
func (w *worker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-w.queue:
			w.pending.Add(-a.weight)
			if a.candidate == w.current() {
				w.compare(ctx, a)
			}
			runtime.Gosched()
		}
	}
}

func (w *worker) compare(ctx context.Context, a *asked) {
	answer, err := w.ask(ctx, a)
	if ctx.Err() != nil {
		return // stopped
	}
	given, err := outcomeOf(a.PolicyPath, answer, err)
	if err != nil {
		w.report(a, err)
	}
	if err != nil && !isOutcome(err) {
		w.counts.evaluated("", err)
		return
	}
	given.Revision = a.candidate.revision
	a.Shadow, a.Kind = given, compare(a.Live, given)
	w.counts.evaluated(a.Kind, err)
	if a.Kind == Same {
		return
	}
	if err := w.list.append(&a.difference); err != nil {
		w.counts.unwritten()
		w.report(a, err)
	}
}

// ask bounds an evaluation in time and memory, and survives it.
func (w *worker) ask(ctx context.Context, a *asked) (answer ast.Value, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			answer, err = nil, fmt.Errorf("%w: %v", errPanic, cause)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, w.deadline, errLate)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	defer watchHeap(w.maxHeap, func() { giveUp(errHeap) }).stop()
	return a.question(ctx, a.input, a.Time)
}

// report logs the first trouble with a candidate; the rest is counted.
func (w *worker) report(a *asked, err error) {
	if w.troubled == a.candidate {
		return
	}
	w.troubled = a.candidate
	w.logger.Warn("Shadow policy %s, decision %s: %v. More of this is counted and not logged.", a.candidate.revision, a.DecisionID, err)
}
