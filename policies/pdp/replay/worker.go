package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/decision"
	"paymesh.internal/pdp/symbolic"
)

// worker judges blocks, one after the other.
type worker struct {
	policies *policies
	options  *Options
	tally    *tally
	scratch  *symbolic.Scratch
	record   record
	// The environment of the record, and those of others.
	current      *environment
	environments map[place]*environment
}

// place is a revision, and the key that verified the token; empty if none did.
type place struct{ revision, key string }

const maxPlaces = 4096

func (w *worker) block(ctx context.Context, part *block) error {
	if part.overlong > 0 {
		w.tally.cut = append(w.tally.cut, Cut{part.file, part.offset, part.overlong, false})
		return nil
	}
	for begin := 0; begin < len(part.text); {
		end := len(part.text)
		if newline := bytes.IndexByte(part.text[begin:], '\n'); newline >= 0 {
			end = begin + newline
		}
		line := part.text[begin:end]
		whole := w.whole(line)
		if whole >= 0 {
			if err := w.judge(ctx); err != nil {
				return fmt.Errorf("%s, byte %d: decision %s: %w", part.file, part.offset+int64(begin+whole), w.record.id, err)
			}
		} else {
			whole = len(line)
		}
		if torn := line[:whole]; len(bytes.TrimSpace(torn)) > 0 {
			w.tally.cut = append(w.tally.cut, Cut{part.file, part.offset + int64(begin), len(torn), begin+whole == len(part.text)})
		}
		begin = end + 1
	}
	return nil
}

// whole reads the record of a line and says where it begins: behind what a killed
// program left of another one, perhaps. -1: there is none.
func (w *worker) whole(line []byte) int {
	if w.record.parse(line) || json.Valid(line) {
		return 0
	}
	if begin := bytes.LastIndex(line, recordBegin); begin > 0 && w.record.parse(line[begin:]) {
		return begin
	}
	return -1
}

var recordBegin = []byte(`{"decision_id":`)

func (w *worker) judge(ctx context.Context) error {
	r, t := &w.record, w.tally
	at, ok := moment(text(r.time))
	if ok && (at.Before(w.options.Since) || !w.options.Until.IsZero() && !at.Before(w.options.Until)) {
		t.skipped[outsideTime]++
		return nil
	}
	t.records++
	path, allowed := pathOf(r.path), false
	if ok {
		allowed, ok = boolean(r.allowed)
	}
	before := symbolic.Answer{Allowed: allowed, Reason: string(text(r.reason)), Grant: string(text(r.grant))}
	if why := whyNot(r, path, ok, before.Reason); why != "" {
		t.skipped[why]++
		return nil
	}
	after, err := w.answer(ctx, path, at)
	switch {
	case errors.Is(err, candidate.ErrNotRecorded):
		t.skipped[needsMore]++
		return nil
	case errors.Is(err, errManyKeys):
		t.skipped[manyKeys]++
		return nil
	case errors.Is(err, symbolic.ErrUnreadable):
		t.skipped[withoutInput]++
		return nil
	case err != nil:
		return err
	}
	if w.current.isMissing && w.options.Environments != "" {
		t.missing++
	}
	if after.Partial {
		t.partial++
		t.unjudged = earliest(t.unjudged, []example{{at, string(text(r.id))}}, t.examples)
		return nil
	}
	t.compare(r, path, at, before, after)
	return nil
}

// whyNot says why a record is not judged, empty if it is.
func whyNot(r *record, path string, isReadable bool, reason string) string {
	switch {
	case path == "" || !isReadable:
		return notADecision
	case reason == decision.ReasonUnreadable:
		return unreadable
	case reason == decision.ReasonNotRecorded:
		return notRecorded
	case len(text(r.err)) > 0:
		return withError
	case len(r.input) == 0 || r.omitted != nil:
		return withoutInput
	case bytes.Contains(r.token, unknownScheme):
		return withoutToken
	}
	return ""
}

// unknownScheme stands in the record of a token whose facts could not be had. Inside
// of a text its quotes would be escaped.
var unknownScheme = []byte(`"scheme":"unknown"`)

func pathOf(field []byte) string {
	found := text(field)
	for _, path := range paths {
		if string(found) == path {
			return path
		}
	}
	return ""
}

func (w *worker) answer(ctx context.Context, path string, at time.Time) (*symbolic.Answer, error) {
	r := &w.record
	if err := w.environment(ctx); err != nil {
		return nil, err
	}
	question := &symbolic.Question{Time: at, Input: r.input, Token: r.token, Erasable: erasable(path)}
	policy := w.current.decisions[path]
	if w.options.Plain {
		return policy.Plain(ctx, question)
	}
	return policy.Answer(ctx, question, w.scratch)
}

// environment makes the record's environment the current one.
func (w *worker) environment(ctx context.Context) error {
	revision, key := text(w.record.revision), keyOf(w.record.token)
	if known := w.environments[place{string(revision), string(key)}]; known != nil {
		w.current = known
		return nil
	}
	found, err := w.policies.of(ctx, string(revision))
	if err == nil && len(key) > 0 {
		found, err = w.policies.withKey(ctx, found, string(key))
	}
	if err != nil {
		return err
	}
	if len(w.environments) >= maxPlaces {
		clear(w.environments)
	}
	w.current, w.environments[place{string(revision), string(key)}] = found, found
	return nil
}
