package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/symbolic"
)

// gcPercent: the garbage of reading files is much, what is kept of them is little.
const gcPercent = 400

const progressEvery = 200 * time.Millisecond

// Command makes the subcommand.
func Command() *cobra.Command {
	options := Options{Examples: 3}
	var since, until string
	var progress bool
	command := &cobra.Command{
		Use:   "replay --bundle DIR_OR_TARGZ FILE...",
		Short: "Decide what a decision log holds by another policy, and say what would change",
		Long: `Reads decision logs ("-" for the standard input) and answers each recorded question
by the policy of --bundle, at the recorded time and in the environment of the
recorded revision. No secret is needed: a token with the recorded claims is made
anew. Writes one JSON document.

Records that differ only in what the policy cannot tell apart are evaluated once;
"distinct" says how often that was. "partial" are records that were masked where the
policy looks; "cut" are lines of which only a part was written.`,
		Args:         cobra.MinimumNArgs(1),
		SilenceUsage: true,
		RunE: func(command *cobra.Command, files []string) (err error) {
			if options.Since, err = parseTime(since); err != nil {
				return fmt.Errorf("--since: %w", err)
			}
			if options.Until, err = parseTime(until); err != nil {
				return fmt.Errorf("--until: %w", err)
			}
			if options.Examples < 0 {
				return errors.New("--examples: not less than 0")
			}
			debug.SetGCPercent(gcPercent)
			candidate.Isolate()
			symbolic.Observe()
			options.Files, options.Stdin = files, command.InOrStdin()
			if progress {
				options.Progress = report(command.ErrOrStderr())
			}
			found, err := Run(command.Context(), options)
			if err != nil {
				return err
			}
			return json.NewEncoder(command.OutOrStdout()).Encode(found)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Bundle, "bundle", "", "directory or packed bundle; its signature is not looked at")
	flags.StringVar(&options.Environments, "environments", "", "directory with data.paymesh.environment of each revision: <revision>.json, or the bundle <revision>.tar.gz")
	flags.StringVar(&since, "since", "", "RFC 3339; no earlier records")
	flags.StringVar(&until, "until", "", "RFC 3339; only earlier records")
	flags.IntVar(&options.Examples, "examples", options.Examples, "decision ids with each change")
	flags.BoolVar(&options.IsRegular, "regular", false, "refuse a FILE that is a link, a pipe or a device: for directories that others can write to")
	flags.BoolVar(&options.Plain, "plain", false, "evaluate every record by itself: slow, for comparison")
	flags.BoolVar(&progress, "progress", false, "bytes read so far, to the standard error, a number a line")
	if err := command.MarkFlagRequired("bundle"); err != nil {
		panic(err)
	}
	return command
}

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

func report(to io.Writer) func(int) {
	var total, last atomic.Int64
	return func(bytes int) {
		sum, now := total.Add(int64(bytes)), time.Now().UnixNano()
		if before := last.Load(); now-before > int64(progressEvery) && last.CompareAndSwap(before, now) {
			fmt.Fprintln(to, sum)
		}
	}
}
