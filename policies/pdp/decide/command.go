// Package decide is `paymesh-pdp decide`: questions in, answers out, without a
// server, a mesh or a secret.
package decide

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"paymesh.internal/pdp/candidate"
)

const (
	defaultQuery = "data.paymesh.authz.decision"
	// A run that ends in seconds has memory to spare and no time.
	gcPercent = 400
)

// Command makes the subcommand.
func Command() *cobra.Command {
	var options Options
	command := &cobra.Command{
		Use:   "decide --bundle DIR_OR_TARGZ",
		Short: "Answer questions from the standard input by a policy from a file",
		Long: `Reads one question a line from the standard input, as JSON:

  {"id": "x", "input": {...}, "token": {...} or null, "time": "2026-01-31T12:00:00Z"}

and writes an answer a line, in the same order:

  {"id": "x", "values": {"data.paymesh.authz.decision": {...}}, "partial": [], "trace": "", "error": ""}

input and token are as the decision log records them. Where the authorization
header was, a token with the recorded claims is put, signed by a key made for this
run: no secret is needed. An undefined value is left out of "values". "partial"
names what the policy reads and the record does not hold.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: false,
		RunE: func(command *cobra.Command, _ []string) error {
			candidate.Isolate()
			debug.SetGCPercent(gcPercent)
			engine, err := NewEngine(command.Context(), options)
			if err != nil {
				return err
			}
			return engine.answerAll(command.Context(), command.InOrStdin(), command.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Bundle, "bundle", "", "directory or packed bundle; its signature is not looked at")
	flags.StringArrayVar(&options.Queries, "query", []string{defaultQuery}, "what to ask of each input; may be given again")
	flags.BoolVar(&options.Trace, "trace", false, "with each answer, how the policy came to it")
	if err := command.MarkFlagRequired("bundle"); err != nil {
		panic(err)
	}
	return command
}

// lines reads whole lines of any length.
func lines(from io.Reader, each func([]byte) error) error {
	reader := bufio.NewReaderSize(from, 1<<16)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 && !isBlank(line) {
			if err := each(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func isBlank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// parallel is how many questions are answered at a time.
var parallel = runtime.GOMAXPROCS(0)

func encode(answer *Answer) []byte {
	line, err := json.Marshal(answer)
	if err != nil { // of a value that JSON does not have
		line, _ = json.Marshal(&Answer{ID: answer.ID, Error: err.Error()})
	}
	return append(line, '\n')
}
