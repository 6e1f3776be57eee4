package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// maxBatchBytes bounds what one write(2) is given.
const maxBatchBytes = 1 << 20

var (
	// ErrNotRecorded means that a decision is not, or not surely, in the log.
	ErrNotRecorded = errors.New("decision not recorded")
	errClosed      = errors.New("the decision log is closed")
)

// sink is what the writer appends lines to.
type sink interface {
	append(lines []byte) (int, error)
	close() error
}

// writer is the one goroutine that writes. Whatever waits when it is free goes
// into one write(2): the more decisions a second, the fewer writes for each.
type writer struct {
	sink   sink
	queue  chan *pending
	report func(error) // told of the outcome of each write

	closing sync.RWMutex // held for reading while a line is handed over
	closed  bool
	done    chan struct{}
}

// pending is a line on its way. Its asker may give up as long as the writer has
// not taken it.
type pending struct {
	line  []byte
	state atomic.Int32
	done  chan error
}

const (
	waiting int32 = iota
	taken
	abandoned
)

var pool = sync.Pool{New: func() any { return &pending{done: make(chan error, 1)} }}

func startWriter(s sink, maxPending int, report func(error)) *writer {
	w := &writer{
		sink:   s,
		queue:  make(chan *pending, maxPending),
		report: report,
		done:   make(chan struct{}),
	}
	go w.run()
	return w
}

// write returns nil once write(2) has returned. A full queue makes it wait until
// the context ends; nothing is dropped. After an error the line may still be in
// the file if the write was under way: a decision may be recorded of a call that
// was refused for lateness, never the other way round.
func (w *writer) write(ctx context.Context, record *Record, maxBytes int) error {
	p := pool.Get().(*pending)
	p.state.Store(waiting)
	p.line = record.appendTo(p.line[:0], maxBytes)
	if err := w.enqueue(ctx, p); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	select {
	case err := <-p.done:
		pool.Put(p)
		return err
	case <-ctx.Done():
	}
	// An abandoned or unfinished line is the writer's now; it is not reused.
	p.state.CompareAndSwap(waiting, abandoned)
	return fmt.Errorf("%w: %w", ErrNotRecorded, context.Cause(ctx))
}

func (w *writer) enqueue(ctx context.Context, p *pending) error {
	w.closing.RLock()
	defer w.closing.RUnlock()
	if w.closed {
		return errClosed
	}
	select {
	case w.queue <- p:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *writer) run() {
	defer close(w.done)
	var lines []byte
	var batch []*pending
	for first := range w.queue {
		lines, batch = w.collect(first, lines[:0], batch[:0])
		if len(batch) == 0 {
			continue
		}
		n, err := w.sink.append(lines)
		w.report(err)
		acknowledge(batch, n, err)
		clear(batch)
	}
}

// collect takes whatever is waiting, up to the batch's limit.
func (w *writer) collect(next *pending, lines []byte, batch []*pending) ([]byte, []*pending) {
	for {
		if next.state.CompareAndSwap(waiting, taken) {
			lines = append(lines, next.line...)
			batch = append(batch, next)
		}
		if len(lines) >= maxBatchBytes {
			return lines, batch
		}
		select {
		case p, open := <-w.queue:
			if !open {
				return lines, batch
			}
			next = p
		default:
			return lines, batch
		}
	}
}

// acknowledge tells each asker of its own line: a disk that fills up in the
// middle of a batch holds the lines before.
func acknowledge(batch []*pending, written int, err error) {
	end := 0
	for _, p := range batch {
		end += len(p.line)
		if err != nil && end > written {
			p.done <- fmt.Errorf("%w: %w", ErrNotRecorded, err)
		} else {
			p.done <- nil
		}
	}
}

// stop writes what has been handed over and closes the file. It does not wait for
// a disk that hangs longer than the context.
func (w *writer) stop(ctx context.Context) error {
	w.closing.Lock()
	already := w.closed
	w.closed = true
	w.closing.Unlock()
	if !already {
		close(w.queue)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return fmt.Errorf("records may be lost: %w", context.Cause(ctx))
	}
	if already {
		return nil
	}
	return w.sink.close()
}
