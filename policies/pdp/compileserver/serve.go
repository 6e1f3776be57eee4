// Package compileserver compiles policies for whoever publishes them, one after the
// other, in a process that is warm: starting one for each edit takes longer than
// compiling does.
package compileserver

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

const (
	maxHeaderBytes = 1 << 20
	maxFileBytes   = 64 << 20
	maxFiles       = 10_000
)

// header comes first in a request, in one line; then the files' contents, one after
// the other without anything between them.
type header struct {
	Files []struct {
		Path  string `json:"path"`
		Bytes int    `json:"bytes"`
	} `json:"files"`
}

// answer is one line. Problem is empty when everything compiles.
type answer struct {
	Problem string `json:"problem"`
}

// Command is `compile-server`.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:   "compile-server",
		Short: "Compile policies from standard input, as check --strict --bundle does",
		Long: `Compile policies from standard input until it ends.

A request is {"files": [{"path": "paymesh/authz/decision.rego", "bytes": 123}, …]} in one
line, followed by the contents. The answer is {"problem": ""} in one line: empty, or the
compiler's words.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			err := Serve(command.InOrStdin(), command.OutOrStdout())
			if err != nil {
				fmt.Fprintln(command.ErrOrStderr(), "compile-server:", err)
			}
			return err
		},
	}
}

// Serve answers requests until there are no more. An error means that the other side
// is not what it should be: what would come next cannot be told.
func Serve(in io.Reader, out io.Writer) error {
	reader, encoder, compiler := bufio.NewReaderSize(in, maxHeaderBytes), json.NewEncoder(out), &Compiler{}
	for {
		files, err := read(reader)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		given := answer{}
		if err := compiler.try(files); err != nil {
			given.Problem = err.Error()
		}
		if err := encoder.Encode(given); err != nil {
			return err
		}
	}
}

// try turns a fault of the compiler's into a problem of this policy alone.
func (c *Compiler) try(files []File) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			c.last = nil
			err = fmt.Errorf("the compiler failed: %v", cause)
		}
	}()
	return c.Compile(files)
}

// read returns io.EOF when the input ends between two requests.
func read(reader *bufio.Reader) ([]File, error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	var request header
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, fmt.Errorf("illegal request: %w", err)
	}
	if len(request.Files) > maxFiles {
		return nil, fmt.Errorf("illegal request: %d files", len(request.Files))
	}
	files := make([]File, len(request.Files))
	for i, file := range request.Files {
		if file.Path == "" || file.Bytes < 0 || file.Bytes > maxFileBytes {
			return nil, fmt.Errorf("illegal request: file %q of %d bytes", file.Path, file.Bytes)
		}
		content := make([]byte, file.Bytes)
		if _, err := io.ReadFull(reader, content); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		files[i] = File{file.Path, content}
	}
	return files, nil
}
