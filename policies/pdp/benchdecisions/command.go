// Package benchdecisions is `paymesh-pdp bench-decisions`: what a decision costs under one
// policy and under another, and how much memory each of them takes.
package benchdecisions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// Options say how long it goes on.
type Options struct {
	Rounds    int
	Decisions int
}

// Result is of one policy.
type Result struct {
	Bundle string `json:"bundle"`
	// HeapBytes is what the active policy holds of the heap: rules, data and queries.
	HeapBytes int64 `json:"heap_bytes"`
	// Nanoseconds of a decision, on the average of each round.
	Nanoseconds []int64 `json:"nanoseconds"`
}

// Command makes the subcommand.
func Command() *cobra.Command {
	var options Options
	command := &cobra.Command{
		Use:   "bench-decisions BUNDLE QUESTIONS [BUNDLE QUESTIONS]...",
		Short: "Measure what a decision costs under each of several policies",
		Long: `Activates packed bundles as the decision point does, and has each decide in turn, round
after round, so that whatever else the machine does falls on all of them alike. QUESTIONS is a
file with one {"input": …, "reason": "ALLOWED"} a line; another answer than that ends it.`,
		Args: func(_ *cobra.Command, arguments []string) error {
			if len(arguments) == 0 || len(arguments)%2 != 0 {
				return errors.New("name bundles, each with a file of questions")
			}
			return nil
		},
		SilenceUsage: true,
		RunE: func(command *cobra.Command, arguments []string) error {
			return Run(command.Context(), command.OutOrStdout(), options, arguments)
		},
	}
	command.Flags().IntVar(&options.Rounds, "rounds", 20, "how often each policy has its turn")
	command.Flags().IntVar(&options.Decisions, "decisions", 1000, "decisions in one turn")
	return command
}

// Run measures and writes {"policies": [Result, …]}, in the order of the arguments.
func Run(ctx context.Context, out io.Writer, options Options, arguments []string) error {
	if options.Rounds < 1 || options.Decisions < 1 {
		return fmt.Errorf("%d rounds of %d decisions measure nothing", options.Rounds, options.Decisions)
	}
	// What the process needs but once is not held against the first policy.
	if _, err := load(ctx, arguments[0]); err != nil {
		return err
	}
	var subjects []*subject
	var results []*Result
	for i := 0; i < len(arguments); i += 2 {
		before := heap()
		loaded, err := load(ctx, arguments[i])
		if err != nil {
			return err
		}
		results = append(results, &Result{Bundle: arguments[i], HeapBytes: heap() - before})
		if err := loaded.read(arguments[i+1]); err != nil {
			return err
		}
		subjects = append(subjects, loaded)
	}
	// The first turn is not counted: caches fill.
	for round := range options.Rounds + 1 {
		for i, subject := range subjects {
			runtime.GC()
			took, err := subject.ask(ctx, options.Decisions)
			if err != nil {
				return fmt.Errorf("%s: %w", results[i].Bundle, err)
			}
			if round > 0 {
				results[i].Nanoseconds = append(results[i].Nanoseconds, took.Nanoseconds())
			}
		}
	}
	return json.NewEncoder(out).Encode(map[string]any{"policies": results})
}

// heap is how many bytes are in use, and not garbage.
func heap() int64 {
	var found runtime.MemStats
	// Twice: what had a finalizer goes in the second.
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&found)
	return int64(found.HeapAlloc)
}
