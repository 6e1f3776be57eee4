package mutate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/cmd"
	"github.com/spf13/cobra"
)

// gcPercent: this process is short and may have memory; it makes much garbage.
const gcPercent = 400

type options struct {
	table, grants, equivalent string
	gatePercent               float64
	files                     []string
	number, workers           int
	output                    string
}

// Command is `paymesh-pdp mutate`.
func Command() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "mutate DIRECTORY",
		Short: "Break the policies on purpose and list what the tests do not notice",
		Long: `Break the policies on purpose, one small change at a time, and ask for each change whether
a Rego test or a case of the table notices. Prints every change that none of them does,
and fails if the tests notice less than --gate percent.`,
		Args:          cobra.ExactArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			err := o.run(ctx, arguments[0], command.OutOrStdout(), command.ErrOrStderr())
			return exitCode(ctx, err, command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.table, "table", "", "JSON file: calls, and the decision that each has to get")
	flags.StringVar(&o.grants, "grants", "", "JSON file: mutants of the grants")
	flags.StringVar(&o.equivalent, "equivalent", "", "YAML file: mutants that no test can notice, and why")
	flags.Float64Var(&o.gatePercent, "gate", 95, "percentage that the tests have to kill")
	flags.StringArrayVar(&o.files, "file", nil, "only the mutants of this file (repeatable)")
	flags.IntVar(&o.number, "mutant", 0, "only the mutant of this number")
	flags.IntVar(&o.workers, "workers", runtime.NumCPU(), "mutants at a time")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	return command
}

// exitCode: 1 is for tests that notice too little, 2 for what kept them from being asked.
func exitCode(ctx context.Context, err error, stderr io.Writer) error {
	var exit *cmd.ExitError
	switch {
	case err == nil || errors.As(err, &exit):
		return err
	case ctx.Err() != nil:
		return &cmd.ExitError{Exit: 130}
	}
	fmt.Fprintln(stderr, "error:", err)
	return &cmd.ExitError{Exit: 2}
}

func (o *options) run(ctx context.Context, directory string, stdout, stderr io.Writer) error {
	debug.SetGCPercent(gcPercent)
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("-o %s: text or json", o.output)
	}
	started := time.Now()
	j, mutants, listed, err := o.load(ctx, directory)
	if err != nil {
		return err
	}
	verdicts, err := Run(ctx, j, mutants, max(o.workers, 1), progress(stderr))
	if err != nil {
		return err
	}
	problems := excuse(verdicts, listed, len(o.files) == 0 && o.number == 0)
	report := newReport(verdicts, problems, o.gatePercent, time.Since(started).Seconds())
	return o.print(report, stdout)
}

func (o *options) load(ctx context.Context, directory string) (*judge, []Mutant, []equivalent, error) {
	policies, err := Load(directory)
	if err != nil {
		return nil, nil, nil, err
	}
	mutants, err := all(policies, o.grants)
	if err != nil {
		return nil, nil, nil, err
	}
	if mutants = o.chosen(mutants); len(mutants) == 0 {
		return nil, nil, nil, errors.New("there is no such mutant: --file is a path as the report has it, --mutant a number")
	}
	listed, err := loadEquivalents(o.equivalent)
	if err != nil {
		return nil, nil, nil, err
	}
	table, err := LoadTable(o.table)
	if err != nil {
		return nil, nil, nil, err
	}
	j, err := newJudge(ctx, policies, table)
	return j, mutants, listed, err
}

// all numbers the mutants of every file, then those of the grants.
func all(policies *Policies, grants string) ([]Mutant, error) {
	var mutants []Mutant
	for _, file := range policies.Rules() {
		found, err := Mutants(file, policies.texts[file])
		if err != nil {
			return nil, err
		}
		mutants = append(mutants, found...)
	}
	found, err := loadGiven(grants)
	if err != nil {
		return nil, err
	}
	mutants = append(mutants, found...)
	for i := range mutants {
		mutants[i].Number = i + 1
	}
	return mutants, nil
}

func (o *options) chosen(mutants []Mutant) []Mutant {
	return slices.DeleteFunc(mutants, func(mutant Mutant) bool {
		return o.number != 0 && mutant.Number != o.number ||
			len(o.files) > 0 && !slices.Contains(o.files, mutant.File)
	})
}

func (o *options) print(report *Report, stdout io.Writer) error {
	switch {
	case o.output == "json":
		if err := report.writeJSON(stdout); err != nil {
			return err
		}
	case o.number != 0:
		writeDiff(stdout, report.Verdicts[0])
	default:
		report.writeText(stdout)
	}
	if o.number == 0 && !report.passes() {
		return &cmd.ExitError{Exit: 1}
	}
	return nil
}

// few mutants are judged before anybody asks how far they are.
const few = 100

// progress counts on a terminal's one line, elsewhere with a line for each tenth.
func progress(stderr io.Writer) Progress {
	onTerminal := isTerminal(stderr)
	tenth := 0
	return func(done, all int) {
		switch {
		case onTerminal && done < all:
			fmt.Fprintf(stderr, "\r  %d of %d mutants", done, all)
		case onTerminal:
			fmt.Fprintf(stderr, "\r%s\r", strings.Repeat(" ", 40))
		case all >= few && done*10/all > tenth:
			tenth = done * 10 / all
			fmt.Fprintf(stderr, "  %d of %d mutants\n", done, all)
		}
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
