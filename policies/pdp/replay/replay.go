// Package replay is `paymesh-pdp replay`: what another policy would have decided in the
// place of the one that did, for each record of a decision log.
package replay

import (
	"cmp"
	"context"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"paymesh.internal/pdp/symbolic"
)

// Options say which records are judged by which policy.
type Options struct {
	Bundle       string
	Environments string // directory with <revision>.json; empty for none
	Since, Until time.Time
	Examples     int
	Plain        bool // evaluate every record by itself
	IsRegular    bool // read no links, pipes or devices
	Files        []string
	Stdin        io.Reader
	Progress     func(bytes int) // may be nil
}

// Cut is a line that is not whole: the program that wrote it was killed.
type Cut struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Bytes  int    `json:"bytes"`
	IsLast bool   `json:"is_last"` // nothing comes after it, not even the newline
}

// Report is what came of it.
type Report struct {
	Records            int            `json:"records"`
	Judged             int            `json:"judged"`
	Distinct           int            `json:"distinct"`
	Unchanged          int            `json:"unchanged"`
	Skipped            map[string]int `json:"skipped"`
	Partial            int            `json:"partial"`
	PartialExamples    []string       `json:"partial_examples"`
	Changes            []*Change      `json:"changes"`
	Cut                []Cut          `json:"cut"`
	EnvironmentMissing int            `json:"environment_missing"`
	Seconds            float64        `json:"seconds"`
}

// Why a record is not judged.
const (
	outsideTime    = "outside the time that was asked for"
	notADecision   = "no decision of a call or an object"
	withError      = "the policy failed"
	unreadable     = "the request could not be read"
	notRecorded    = "refused because it could not be recorded"
	withoutInput   = "recorded without its input"
	withoutToken   = "recorded without the facts of its token"
	manyKeys       = "its token was verified by one key too many that no policy has"
	needsMore      = "the policy asks for what no record holds"
	unreadableTime = "no time that can be read"
)

// Run judges all records.
func Run(ctx context.Context, options Options) (*Report, error) {
	begin := time.Now()
	policies, err := loadPolicies(options.Bundle, options.Environments)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	read := options.Progress
	if read == nil {
		read = func(int) {}
	}
	source := &blocks{stdin: options.Stdin, isRegular: options.IsRegular, read: read}
	queue := make(chan *block, runtime.GOMAXPROCS(0))
	tallies := make([]*tally, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	for i := range tallies {
		w := &worker{
			policies: policies, options: &options, tally: newTally(options.Examples),
			scratch: symbolic.NewScratch(), environments: map[place]*environment{},
		}
		tallies[i] = w.tally
		workers.Go(func() {
			for part := range queue {
				if ctx.Err() == nil {
					if err := w.block(ctx, part); err != nil {
						cancel(err)
					}
				}
				source.put(part)
			}
		})
	}
	sent := source.send(ctx, options.Files, queue)
	close(queue)
	workers.Wait()
	if err := cmp.Or(context.Cause(ctx), sent); err != nil {
		return nil, err
	}
	total := newTally(options.Examples)
	for _, part := range tallies {
		total.merge(part)
	}
	return total.report(policies, options, time.Since(begin)), nil
}

func (t *tally) report(policies *policies, options Options, took time.Duration) *Report {
	distinct := policies.distinct()
	if options.Plain {
		distinct = t.judged + t.partial
	}
	slices.SortFunc(t.cut, func(a, b Cut) int {
		return cmp.Or(
			cmp.Compare(slices.Index(options.Files, a.File), slices.Index(options.Files, b.File)),
			cmp.Compare(a.Offset, b.Offset),
		)
	})
	return &Report{
		Records: t.records, Judged: t.judged, Distinct: distinct, Unchanged: t.unchanged,
		Skipped: t.skipped, Partial: t.partial, PartialExamples: ids(t.unjudged), Changes: t.sorted(), Cut: append([]Cut{}, t.cut...),
		EnvironmentMissing: t.missing, Seconds: took.Seconds(),
	}
}
