package mutate

import (
	"context"
	"fmt"
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// Outcome is what became of a mutant.
type Outcome string

const (
	Killed   Outcome = "killed"
	Survived Outcome = "survived"
	// Invalid ones do not compile. They count neither for nor against the tests.
	Invalid Outcome = "invalid"
	// Equivalent ones survive, and a person has written down why no test can tell.
	Equivalent Outcome = "equivalent"
)

// Verdict is one mutant's outcome. By is the test that noticed, or why it is invalid.
type Verdict struct {
	Mutant
	Outcome Outcome `json:"outcome"`
	By      string  `json:"by,omitempty"`
}

// judge asks the tests about mutants. It is safe for concurrent use.
type judge struct {
	policies *Policies
	table    *Table
	compiler *ast.Compiler
	tests    []test
	store    storage.Store // of the Rego tests: they bring their own environment
	decided  storage.Store // of the table
}

// newJudge fails if the tests do without any mutant.
func newJudge(ctx context.Context, policies *Policies, table *Table) (*judge, error) {
	listen()
	compiler, err := policies.compile("", nil)
	if err != nil {
		return nil, err
	}
	j := &judge{
		policies: policies,
		table:    table,
		compiler: compiler,
		tests:    tests(compiler),
		store:    inmem.NewFromObject(policies.data),
		decided:  table.store(policies.data),
	}
	by, err := j.firstFailure(ctx, compiler, j.tests, j.store, j.decided)
	if err != nil {
		return nil, err
	}
	if by != "" {
		return nil, fmt.Errorf("%s fails without any mutant: make it pass first", by)
	}
	return j, nil
}

func (j *judge) judge(ctx context.Context, mutant Mutant) (Verdict, error) {
	switch {
	case mutant.refused != "":
		return Verdict{mutant, Killed, "publishing: " + mutant.refused}, nil
	case mutant.grants != nil:
		return j.judgeGrants(ctx, mutant)
	}
	return j.judgeRego(ctx, mutant)
}

func (j *judge) judgeRego(ctx context.Context, mutant Mutant) (Verdict, error) {
	module, err := ast.ParseModule(mutant.File, mutant.text)
	if err != nil {
		return Verdict{mutant, Invalid, err.Error()}, nil
	}
	compiler, err := j.policies.compile(mutant.File, module)
	if err != nil {
		return Verdict{mutant, Invalid, err.Error()}, nil
	}
	return j.verdict(ctx, mutant, compiler, nearest(j.tests, mutant.File), j.store, j.decided)
}

// judgeGrants changes the data only, so that nothing is compiled anew.
func (j *judge) judgeGrants(ctx context.Context, mutant Mutant) (Verdict, error) {
	paymesh, _ := j.policies.data["paymesh"].(map[string]any)
	paymesh = maps.Clone(paymesh)
	paymesh["grants"] = mutant.grants
	data := maps.Clone(j.policies.data)
	data["paymesh"] = paymesh
	return j.verdict(ctx, mutant, j.compiler, j.tests, inmem.NewFromObject(data), j.table.store(data))
}

func (j *judge) verdict(
	ctx context.Context, mutant Mutant, compiler *ast.Compiler, tests []test, store, decided storage.Store,
) (Verdict, error) {
	by, err := j.firstFailure(ctx, compiler, tests, store, decided)
	if err != nil {
		return Verdict{}, err
	}
	if by == "" {
		return Verdict{mutant, Survived, ""}, nil
	}
	return Verdict{mutant, Killed, by}, nil
}

// firstFailure is what notices first: a Rego test, or a case of the table.
func (j *judge) firstFailure(
	ctx context.Context, compiler *ast.Compiler, tests []test, store, decided storage.Store,
) (string, error) {
	for _, test := range tests {
		passed, err := test.passes(ctx, compiler, store)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil || !passed { // a test with an error has failed
			return test.query, nil
		}
	}
	name, err := j.table.differs(ctx, compiler, decided)
	if err != nil || name == "" {
		return "", err
	}
	return "table: " + name, nil
}
