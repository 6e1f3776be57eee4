package ship

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/open-policy-agent/opa/v1/logging"
)

const (
	pollInterval = 200 * time.Millisecond
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = time.Minute
	// longestWait bounds what a receiver may ask for.
	longestWait = 15 * time.Minute
	// patience is how often a batch that the receiver refuses is sent as it is before
	// it is sent in parts, to find the record that it is about.
	patience = 3
)

// shipper is the one goroutine that ships.
type shipper struct {
	config  *Config
	client  *client
	logger  logging.Logger
	metrics *shipMetrics
	// say tells OPA's status; "" is that all is well.
	say   func(message string)
	pause func(ctx context.Context, duration time.Duration)

	tail       *tail
	noted      passed
	maxRecords int
	failures   int       // in a row
	since      time.Time // of the first of them
	sentence   string    // of the last of them
}

// run ships until the context ends.
func (s *shipper) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.prepare(); err != nil {
			s.failed(ctx, err)
			continue
		}
		found, err := s.collect(ctx)
		if err == nil {
			err = s.ship(ctx, found)
		}
		if err != nil && ctx.Err() == nil {
			s.failed(ctx, err)
		}
	}
	if s.tail != nil {
		if err := s.tail.close(); err != nil {
			s.logger.Warn("Closing the decision log after reading: %v.", err)
		}
	}
}

func (s *shipper) prepare() error {
	if s.tail != nil {
		return nil
	}
	from, err := readCursor(s.config.Cursor)
	if err != nil {
		return err
	}
	s.tail = &tail{path: s.config.Log, cursor: from, maxBytes: s.config.MaxBatchBytes}
	s.maxRecords = s.config.MaxBatchRecords
	return nil
}

// collect waits for a batch that is full or has waited long enough.
func (s *shipper) collect(ctx context.Context) (lines, error) {
	var first time.Time
	for {
		found, err := s.tail.read(s.maxRecords)
		if err != nil || ctx.Err() != nil {
			return found, err
		}
		s.note()
		if found.bytes > 0 {
			if first.IsZero() {
				first = time.Now()
			}
			if found.full || time.Since(first) >= s.config.delay() {
				return found, nil
			}
		}
		s.pause(ctx, min(pollInterval, s.config.delay()))
	}
}

// ship sends the records and remembers that the receiver has them.
func (s *shipper) ship(ctx context.Context, found lines) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(found.records) > 0 {
		rejected, why, err := s.client.post(ctx, found.records)
		if err != nil {
			return s.narrow(found.records, err)
		}
		if rejected > 0 {
			s.metrics.rejected.Add(float64(rejected))
			s.logger.Error("The receiver did not take %d of %d decisions and does not want them again: %q.", rejected, len(found.records), why)
		}
	}
	s.tail.advance(found)
	s.note()
	if err := s.tail.cursor.write(s.config.Cursor); err != nil {
		// After a crash more is shipped twice than usual.
		s.logger.Warn("How far decisions are shipped cannot be remembered: %v.", err)
	}
	s.metrics.shipped.Add(float64(len(found.records)))
	s.succeeded(len(found.records))
	return nil
}

// note counts and logs what was passed over since the last time.
func (s *shipper) note() {
	s.metrics.behind.Set(float64(s.tail.behind()))
	cut, gone := s.tail.passed.cut-s.noted.cut, s.tail.passed.gone-s.noted.gone
	if cut > 0 {
		s.logger.Warn("%d lines of the decision log are no records and were not shipped: a killed process leaves such.", cut)
	}
	if gone > 0 {
		s.logger.Error("The decision log was cut off or removed before all of it was shipped.")
	}
	s.metrics.cut.Add(float64(cut))
	s.metrics.gone.Add(float64(gone))
	s.noted = s.tail.passed
}

// narrow sends smaller batches after a refusal that is about what was sent, so that
// what can be taken is, and what cannot is found out. It is never passed over.
func (s *shipper) narrow(records []record, err error) error {
	var refused *refusal
	if !errors.As(err, &refused) || !refused.isFinal() {
		return err
	}
	isLarge := refused.status == http.StatusRequestEntityTooLarge
	isBad := refused.status == http.StatusBadRequest || refused.status == http.StatusUnprocessableEntity
	if len(records) > 1 && (isLarge || isBad && s.failures+1 >= patience) {
		s.maxRecords = max(1, len(records)/2)
	} else if len(records) == 1 && (isLarge || isBad) {
		return fmt.Errorf("decision %s: %w", records[0].DecisionID, err)
	}
	return err
}

func (s *shipper) succeeded(count int) {
	s.maxRecords = min(2*s.maxRecords, s.config.MaxBatchRecords)
	if s.failures == 0 {
		return
	}
	s.logger.Info("Decisions are shipped again: %d now, %d bytes wait.", count, s.tail.behind())
	s.failures, s.sentence = 0, ""
	s.say("")
}

// failed reports a failure and waits as long as is good.
func (s *shipper) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.failures++
	s.metrics.failures.Inc()
	if s.failures == 1 {
		s.since = time.Now()
	}
	waiting := ""
	if s.tail != nil {
		behind := s.tail.behind()
		s.metrics.behind.Set(float64(behind))
		waiting = fmt.Sprintf("; %d bytes wait", behind)
	}
	sentence := fmt.Sprintf("decisions are not shipped since %s: %v", s.since.UTC().Format(time.RFC3339), err)
	if sentence != s.sentence {
		s.logger.Error("Decisions are not shipped, which is tried again: %v%s.", err, waiting)
	}
	s.sentence = sentence
	s.say(sentence + waiting)
	s.pause(ctx, wait(s.failures, err))
}

// wait is what the receiver asks for, or longer each time, with jitter: decision
// points that lost the same receiver do not come back all at once.
func wait(failures int, err error) time.Duration {
	backoff := lastBackoff
	if shift := failures - 1; shift < 10 {
		backoff = min(lastBackoff, firstBackoff<<shift)
	}
	backoff = backoff/2 + rand.N(backoff/2+1)
	var refused *refusal
	if errors.As(err, &refused) {
		return min(max(backoff, refused.retryAfter), longestWait)
	}
	return backoff
}

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
