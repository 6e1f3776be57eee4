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
	compiler, err := policies.compileAll()
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
	by, err := j.failingTest(ctx, compiler, j.tests, j.store)
	if by == "" && err == nil {
		by, err = j.failingCase(ctx, compiler, j.decided, nil)
	}
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
	compiler, err := j.policies.compileWith(mutant.File, module)
	if err != nil {
		return Verdict{mutant, Invalid, err.Error()}, nil
	}
	by, err := j.failingTest(ctx, compiler, j.policies.noticing(j.tests, mutant.File), j.store)
	if by == "" && err == nil && j.policies.packages.sees(decisionPackage, mutant.File) {
		by, err = j.failingCase(ctx, compiler, j.decided, nil)
	}
	return verdict(mutant, by), err
}

// judgeGrants changes the data only, so that nothing is compiled anew.
func (j *judge) judgeGrants(ctx context.Context, mutant Mutant) (Verdict, error) {
	paymesh, _ := j.policies.data["paymesh"].(map[string]any)
	paymesh = maps.Clone(paymesh)
	paymesh["grants"] = mutant.grants
	data := maps.Clone(j.policies.data)
	data["paymesh"] = paymesh
	by, err := j.failingCase(ctx, j.compiler, j.table.store(data), mutant.touches)
	if by == "" && err == nil {
		by, err = j.failingTest(ctx, j.compiler, j.tests, inmem.NewFromObject(data))
	}
	return verdict(mutant, by), err
}

func verdict(mutant Mutant, by string) Verdict {
	if by == "" {
		return Verdict{mutant, Survived, ""}
	}
	return Verdict{mutant, Killed, by}
}

// failingTest is the first Rego test that fails, or "".
func (j *judge) failingTest(ctx context.Context, compiler *ast.Compiler, tests []test, store storage.Store) (string, error) {
	for _, test := range tests {
		passed, err := test.passes(ctx, compiler, store)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil || !passed { // a test with an error has failed
			return test.query, nil
		}
	}
	return "", nil
}

// failingCase is a case of the table that is decided otherwise, or "".
func (j *judge) failingCase(
	ctx context.Context, compiler *ast.Compiler, store storage.Store, first []string,
) (string, error) {
	name, err := j.table.differs(ctx, compiler, store, first)
	if err != nil || name == "" {
		return "", err
	}
	return "table: " + name, nil
}
