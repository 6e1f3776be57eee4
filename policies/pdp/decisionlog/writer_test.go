package decisionlog

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"
)

// fakeSink holds what it is given; each append waits for a token if there is a gate.
type fakeSink struct {
	gate chan struct{}
	fail func(lines []byte) (int, error)

	mutex  sync.Mutex
	writes [][]byte
	closed bool
}

func (s *fakeSink) append(lines []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	n, err := len(lines), error(nil)
	if s.fail != nil {
		n, err = s.fail(lines)
	}
	s.writes = append(s.writes, bytes.Clone(lines[:n]))
	return n, err
}

func (s *fakeSink) close() error {
	s.closed = true
	return nil
}

func (s *fakeSink) all() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return string(bytes.Join(s.writes, nil))
}

func start(t *testing.T, s *fakeSink, maxPending int) *writer {
	w := startWriter(s, maxPending, func(error) {})
	t.Cleanup(func() { _ = w.stop(context.Background()) })
	return w
}

func numbered(n int) *Record { return &Record{DecisionID: strconv.Itoa(n)} }

func after(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Concurrent records are all there, each once and whole, before write returns.
func TestWriterKeepsAll(t *testing.T) {
	s := &fakeSink{}
	w := start(t, s, 4)
	var group sync.WaitGroup
	for n := range 200 {
		group.Go(func() {
			record := numbered(n)
			if err := w.write(t.Context(), record, 4096); err != nil {
				t.Error(err)
			}
			if line := record.appendTo(nil, 4096); bytes.Count([]byte(s.all()), line) != 1 {
				t.Errorf("record %d was acknowledged and is not there", n)
			}
		})
	}
	group.Wait()
	if got := bytes.Count([]byte(s.all()), []byte("\n")); got != 200 {
		t.Errorf("%d lines", got)
	}
}

// What piles up behind a slow write goes into the next one together.
func TestWriterBatches(t *testing.T) {
	s := &fakeSink{gate: make(chan struct{})}
	w := start(t, s, 100)
	var group sync.WaitGroup
	for n := range 50 {
		group.Go(func() {
			if err := w.write(t.Context(), numbered(n), 4096); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, func() bool { return len(w.queue) == 49 })
	close(s.gate)
	group.Wait()
	if len(s.writes) != 2 {
		t.Errorf("%d writes for 50 records", len(s.writes))
	}
}

// A full queue makes askers wait until their deadline; who gave up is not recorded
// later, and nobody else's record is lost.
func TestWriterPushesBack(t *testing.T) {
	s := &fakeSink{gate: make(chan struct{})}
	w := start(t, s, 1)
	results := make(chan error, 2)
	for n := range 2 { // one in the writer's hands, one in the queue
		go func() { results <- w.write(t.Context(), numbered(n), 4096) }()
		waitFor(t, func() bool { return len(w.queue) == n })
		time.Sleep(10 * time.Millisecond)
	}
	for _, ctx := range []context.Context{after(t, 20*time.Millisecond), after(t, 30*time.Millisecond)} {
		if err := w.write(ctx, numbered(7), 4096); !errors.Is(err, ErrNotRecorded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	close(s.gate)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := bytes.Count([]byte(s.all()), []byte("\n")); got != 2 {
		t.Errorf("%d lines", got)
	}
}

// A queued record whose asker gave up is skipped: it would tell of a decision
// that was not given.
func TestWriterSkipsAbandoned(t *testing.T) {
	s := &fakeSink{gate: make(chan struct{})}
	w := start(t, s, 4)
	first := make(chan error, 1)
	go func() { first <- w.write(t.Context(), numbered(1), 4096) }()
	time.Sleep(10 * time.Millisecond)
	if err := w.write(after(t, 10*time.Millisecond), numbered(2), 4096); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("got %v", err)
	}
	close(s.gate)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := w.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := bytes.Count([]byte(s.all()), []byte("\n")); got != 1 {
		t.Errorf("%d lines: %s", got, s.all())
	}
}

// A disk that fills up inside a batch: the records before are acknowledged, the cut
// one and those behind it are not.
func TestWriterPartialBatch(t *testing.T) {
	line := len(numbered(1).appendTo(nil, 4096))
	s := &fakeSink{gate: make(chan struct{}), fail: func(lines []byte) (int, error) {
		if len(lines) == line {
			return len(lines), nil
		}
		return line + line/2, errors.New("disk full")
	}}
	w := start(t, s, 8)
	results := make(chan error, 4)
	for n := range 4 { // the first alone, then three together
		go func() { results <- w.write(t.Context(), numbered(n), 4096) }()
		if n == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	waitFor(t, func() bool { return len(w.queue) == 3 })
	close(s.gate)
	failed := 0
	for range 4 {
		if err := <-results; errors.Is(err, ErrNotRecorded) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if failed != 2 {
		t.Errorf("%d failed, want 2", failed)
	}
}

// Stop writes what was handed over, then refuses.
func TestWriterStop(t *testing.T) {
	s := &fakeSink{}
	w := startWriter(s, 4, func(error) {})
	if err := w.write(t.Context(), numbered(1), 4096); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !s.closed {
		t.Error("the file is open")
	}
	if err := w.write(t.Context(), numbered(2), 4096); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("got %v", err)
	}
}

// Stop does not wait for a disk that hangs.
func TestWriterStopIsBounded(t *testing.T) {
	s := &fakeSink{gate: make(chan struct{})}
	w := startWriter(s, 4, func(error) {})
	go func() { _ = w.write(after(t, time.Second), numbered(1), 4096) }()
	time.Sleep(10 * time.Millisecond)
	if err := w.stop(after(t, 20*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(s.gate)
	<-w.done
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	w := startWriter(&fakeSink{fail: func(lines []byte) (int, error) { return 0, nil }}, 1024, func(error) {})
	defer w.stop(context.Background())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for record := exampleRecord(); pb.Next(); {
			_ = w.write(context.Background(), record, 4096)
		}
	})
}
