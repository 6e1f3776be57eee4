// Package mutate breaks the policy on purpose, a little at a time, and asks for each
// break whether the tests notice. A break that they do not notice is either a test
// that is missing or a line that does nothing.
package mutate

import (
	"bytes"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Mutant is one break: a file of which a few bytes differ.
type Mutant struct {
	// Number counts from 1 through all mutants, whichever of them are run.
	Number int    `json:"number"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	// Rule is the rule, or the grant, that it is in.
	Rule     string `json:"rule"`
	Operator string `json:"operator"`
	// Old and New are the lines that differ, as one line each.
	Old string `json:"old"`
	New string `json:"new"`

	text   string         // the whole file; of a mutant of the Rego
	grants map[string]any // the whole document; of a mutant of the grants
	// refused is why the mutant of the grants would not even be published.
	refused string
	// touches are the edges whose decisions it may change.
	touches []string
}

// edit replaces the bytes [start, end) of a file.
type edit struct {
	operator    string
	rule        string
	start, end  int
	replacement string
}

// mutant applies an edit.
func (e edit) mutant(file string, text []byte) Mutant {
	changed := string(text[:e.start]) + e.replacement + string(text[e.end:])
	first := bytes.LastIndexByte(text[:e.start], '\n') + 1
	last := len(text)
	if newline := bytes.IndexByte(text[e.end:], '\n'); newline >= 0 {
		last = e.end + newline
	}
	return Mutant{
		File:     file,
		Line:     1 + bytes.Count(text[:e.start], []byte("\n")),
		Rule:     e.rule,
		Operator: e.operator,
		Old:      oneLine(string(text[first:last])),
		New:      oneLine(changed[first : len(changed)-(len(text)-last)]),
		text:     changed,
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// span is where a node stands in its file.
type span struct{ start, end int }

func spanOf(location *ast.Location) span {
	return span{location.Offset, location.Offset + len(location.Text)}
}
