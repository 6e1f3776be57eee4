// Package places is `paymesh-pdp reads`: the places of the input that a policy reads,
// for whoever has to know what a set of questions or records says nothing about.
package places

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/spf13/cobra"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/reads"
)

// Of an answer, these members decide what gets through, and why.
var results = []string{
	"allowed", "reason", "grant", "http_status", "dynamic_metadata/reason", "dynamic_metadata/grant",
}

// Place is where a policy looks, as a JSON pointer (RFC 6901) with "*" for each member
// or element. Whole says that it is read in full, also if it should be an object or array.
type Place struct {
	Pointer string `json:"pointer"`
	Whole   bool   `json:"whole"`
}

// Places are those of one query: of the input, and of the token in its authorization
// header.
type Places struct {
	Input  []Place `json:"input"`
	Header []Place `json:"header"`
	Claims []Place `json:"claims"`
}

// Command makes the subcommand.
func Command() *cobra.Command {
	var bundle string
	var queries []string
	command := &cobra.Command{
		Use:   "reads --bundle DIR_OR_TARGZ",
		Short: "Say which places of its input a policy from a file reads",
		Long: `Writes one JSON document: for each query the places that the policy may read, as
JSON pointers into the input and into the header and claims of the token in it.

  {"data.paymesh.authz.decision": {"input": [{"pointer": "/a/*/b", "whole": false}], ...}}

"*" is each member or element; "whole" is a value that is read in full, also if it is
an object or array. Found are more places than an evaluation reads, never fewer: a
policy that cannot be followed reads the whole input, whose pointer is "".`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			reads.DeclareSame()
			policy, err := candidate.Load(bundle, reads.ShowComparisons)
			if err != nil {
				return err
			}
			found := make(map[string]Places, len(queries))
			for _, query := range queries {
				if found[query], err = of(policy.Compiler, query); err != nil {
					return err
				}
			}
			return json.NewEncoder(command.OutOrStdout()).Encode(found)
		},
	}
	flags := command.Flags()
	flags.StringVar(&bundle, "bundle", "", "directory or packed bundle; its signature is not looked at")
	flags.StringArrayVar(&queries, "query", []string{"data.paymesh.authz.decision"}, "a reference below data; may be given again")
	if err := command.MarkFlagRequired("bundle"); err != nil {
		panic(err)
	}
	return command
}

func of(compiler *ast.Compiler, query string) (Places, error) {
	ref, err := ast.ParseRef(query)
	if err != nil || !ref.HasPrefix(ast.DefaultRootRef) || !ref.IsGround() {
		return Places{}, fmt.Errorf("--query %s: no reference below data", query)
	}
	found := reads.Of(compiler, ref, results)
	return Places{Input: list(found.Input), Header: list(found.Header), Claims: list(found.Claims)}, nil
}

func list(root *reads.Place) []Place {
	found := []Place{}
	collect(&found, "", root)
	return found
}

// collect adds the leaves of a tree, and above them what is read in full.
func collect(found *[]Place, pointer string, place *reads.Place) {
	whole := place.Use&(reads.Test|reads.Verify|reads.Whole) != 0
	isLeaf := len(place.Members) == 0 && place.Each == nil
	// Below nothing there is nothing: the root of a document that is not read at all.
	if whole || isLeaf && (pointer != "" || place.Use != 0) {
		*found = append(*found, Place{pointer, whole})
	}
	for _, name := range slices.Sorted(maps.Keys(place.Members)) {
		collect(found, pointer+"/"+escape.Replace(name), place.Members[name])
	}
	if place.Each != nil {
		collect(found, pointer+"/*", place.Each)
	}
}

var escape = strings.NewReplacer("~", "~0", "/", "~1")
