package traps

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/open-policy-agent/opa/cmd"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/spf13/cobra"
)

// Command is `paymesh-pdp traps`.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:   "traps DIRECTORY...",
		Short: "Find what Rego does not mean although it reads as if it did",
		Long: `Find what Rego does not mean although it reads as if it did. A trap that is meant as it
stands is exempted by a comment on its line or above it:  # trap: ok, <rule>: <why>`,
		Args:          cobra.MinimumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, directories []string) error {
			return run(directories, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
}

func run(directories []string, stdout, stderr io.Writer) error {
	modules := map[string]*ast.Module{}
	for _, directory := range directories {
		if err := parse(directory, modules); err != nil {
			fmt.Fprintln(stderr, "error:", err)
			return &cmd.ExitError{Exit: 2}
		}
	}
	problems := Find(modules)
	for _, problem := range problems {
		fmt.Fprintln(stdout, problem)
	}
	if len(problems) > 0 {
		return &cmd.ExitError{Exit: 1}
	}
	return nil
}

func parse(directory string, modules map[string]*ast.Module) error {
	return filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".rego" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		modules[path], err = ast.ParseModuleWithOpts(path, string(text), ast.ParserOptions{ProcessAnnotation: true})
		return err
	})
}
