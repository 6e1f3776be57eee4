package mutate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown/cache"
)

const (
	decisionPackage = "data.paymesh.authz"
	decisionQuery   = decisionPackage + ".decision"
	// tableTimeout ends what a mutant made endless. All cases take a second.
	tableTimeout = time.Minute
)

// Table is the hand-written account of who may call what, as questions and answers.
type Table struct {
	// Environment is data.paymesh.environment: workloads, and the issuer's keys.
	Environment map[string]any `json:"environment"`
	Time        time.Time      `json:"time"`
	Cases       []Case         `json:"cases"`

	// values keeps verified tokens, of which there is one for each user.
	values cache.InterQueryValueCache
}

// Case is one call and its reason code.
type Case struct {
	Name string `json:"name"`
	// Edge is its caller and its RPC.
	Edge     string          `json:"edge"`
	Input    json.RawMessage `json:"input"`
	Expected string          `json:"expected"`

	parsed ast.Value
}

// LoadTable reads a table; "" is one without cases.
func LoadTable(file string) (*Table, error) {
	table := &Table{values: cache.NewInterQueryValueCache(context.Background(), nil)}
	if file == "" {
		return table, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, table); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range table.Cases {
		term, err := ast.ParseTerm(string(table.Cases[i].Input))
		if err != nil {
			return nil, fmt.Errorf("%s: case %d: %w", file, i, err)
		}
		table.Cases[i].parsed = term.Value
	}
	return table, nil
}

// store is the data that the table is decided with.
func (t *Table) store(data map[string]any) storage.Store {
	paymesh, _ := data["paymesh"].(map[string]any)
	paymesh = maps.Clone(paymesh)
	if paymesh == nil {
		paymesh = map[string]any{}
	}
	paymesh["environment"] = t.Environment
	all := maps.Clone(data)
	all["paymesh"] = paymesh
	return inmem.NewFromObjectWithOpts(all, inmem.OptReturnASTValuesOnRead(true))
}

// differs is the name of a case that is decided otherwise, or "". The cases of the
// edges named are tried first.
func (t *Table) differs(ctx context.Context, compiler *ast.Compiler, store storage.Store, first []string) (string, error) {
	if len(t.Cases) == 0 {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	query, err := rego.New(rego.Compiler(compiler), rego.Store(store), rego.Query(decisionQuery)).PrepareForEval(ctx)
	if err != nil {
		return "", err
	}
	for _, one := range t.ordered(first) {
		results, err := query.Eval(ctx, rego.EvalParsedInput(one.parsed), rego.EvalTime(t.Time),
			rego.EvalInterQueryBuiltinValueCache(t.values))
		if err != nil {
			return one.Name, nil // a decision that fails is refused, but not as expected
		}
		if !one.holds(results) {
			return one.Name, nil
		}
	}
	return "", nil
}

func (t *Table) ordered(first []string) []Case {
	if len(first) == 0 {
		return t.Cases
	}
	var near, far []Case
	for _, one := range t.Cases {
		if slices.Contains(first, one.Edge) {
			near = append(near, one)
		} else {
			far = append(far, one)
		}
	}
	return append(near, far...)
}

func (c Case) holds(results rego.ResultSet) bool {
	if len(results) == 0 {
		return false
	}
	decision, _ := results[0].Expressions[0].Value.(map[string]any)
	return decision["reason"] == c.Expected && decision["allowed"] == (c.Expected == "ALLOWED")
}
