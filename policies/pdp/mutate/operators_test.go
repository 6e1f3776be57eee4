package mutate

import (
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// mutantsOf are `operator: new line` of every mutant of some rules.
func mutantsOf(t *testing.T, rules string) []string {
	t.Helper()
	mutants, err := Mutants("p.rego", []byte("package p\n\n"+rules+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	found := make([]string, 0, len(mutants))
	for _, mutant := range mutants {
		found = append(found, mutant.Operator+": "+mutant.New)
	}
	return found
}

func TestARuleIsBrokenInEveryWay(t *testing.T) {
	got := mutantsOf(t, "allow if {\n\tinput.age >= 18\n\tnot input.banned\n}")
	want := []string{
		"drop expression: true",
		"negate: not input.age >= 18",
		"drop rule: false; input.age >= 18",
		"swap key: input.age_ >= 18",
		"swap key: input.banned >= 18",
		"swap operator: input.age > 18",
		"swap operator: input.age <= 18",
		"swap constant: input.age >= 19",
		"swap constant: input.age >= 17",
		"drop expression: true",
		"negate: input.banned",
		"swap key: not input.banned_",
		"swap key: not input.age",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsBroken(t *testing.T) {
	for name, example := range map[string]struct {
		rules string
		want  []string
	}{
		"a default":               {`default a := false`, []string{"drop default: ", "swap constant: default a := true"}},
		"a rule without a body":   {`a := 1`, []string{"drop rule: a := 1 if false", "swap constant: a := 0"}},
		"a rule in one line":      {`a if input.b`, []string{"drop rule: a if false", "drop expression: a if true", "negate: a if not input.b"}},
		"a function":              {`f("x", y) if y`, []string{`drop rule: f("x", y) if false`, `swap constant: f("x~", y) if y`}},
		"a function without body": {`f("x", _)`, []string{`drop rule: f("x", _) if false`}},
		"an element of a set":     {`a contains "x"`, []string{`drop rule: a contains "x" if false`, `swap constant: a contains "x~"`}},
		"an else": {"a := 1 if {\n\tinput.b\n} else := 2", []string{
			"drop rule: false; input.b", "drop rule: } else := 2 if false", "swap constant: } else := 3"}},
		"elements of a list":   {`a := ["x", "y"]`, []string{`drop element: a := ["y"]`, `drop element: a := ["x"]`, `swap constant: a := ["y", "y"]`}},
		"the only element":     {`a := {"x"}`, []string{`drop element: a := set()`}},
		"pairs of an object":   {`a := {"x": 1, "y": null}`, []string{`drop element: a := {"y": null}`, `drop element: a := {"x": 1}`, `swap constant: a := {"x": 1, "y": false}`}},
		"within a list's rule": {`a := [x | some x in input.b; x > 1]`, []string{`swap operator: a := [x | some x in input.b; x >= 1]`, `drop expression: a := [x | some x in input.b; true]`}},
		"within every":         {"a if {\n\tevery x in input.b {\n\t\tx == 1\n\t}\n}", []string{"swap operator: x != 1", "drop expression: true"}},
		"a call":               {`a := sort(input.b)`, []string{"drop call: a := input.b"}},
		"an operation":         {`a := input.b | {"x"}`, []string{"drop call: a := input.b", `drop call: a := {"x"}`, `swap operator: a := input.b & {"x"}`}},
		"operations in another": {`a := (input.b | input.c) | input.d`, []string{
			"drop call: a := input.b | input.d", "drop call: a := input.c | input.d",
			"drop call: a := (input.b | input.c)", "drop call: a := input.d"}},
		"an index":              {`a := input.b[0]`, []string{"swap constant: a := input.b[1]"}},
		"a key in brackets":     {`a := input["b-c"]`, []string{`swap constant: a := input["b-c~"]`}},
		"a name in the head":    {`a["b"] := 1`, []string{`swap constant: a["b~"] := 1`}},
		"anchors of a pattern":  {"a if regex.match(`^b$`, input.c)", []string{"widen pattern: a if regex.match(`b$`, input.c)", "widen pattern: a if regex.match(`^b`, input.c)"}},
		"bounds of a pattern":   {"a := `^[b]{1,9}$`", []string{"widen pattern: a := `^[b]{0,9}$`", "widen pattern: a := `^[b]{1,10}$`", "widen pattern: a := `^[b]{1,8}$`"}},
		"a repeated pattern":    {"a := `^[b]+$`", []string{"widen pattern: a := `^[b]*$`"}},
		"a comment in the body": {"a if {\n\t# { no brace\n\tinput.b\n}", []string{"drop rule: false; input.b"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := mutantsOf(t, example.rules)
			for _, want := range example.want {
				if !slices.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, strings.Join(got, "\n"))
				}
			}
		})
	}
}

// What binds a variable is not dropped: nothing would compile.
func TestWhatIsNotBroken(t *testing.T) {
	for _, mutant := range mutantsOf(t, "a := x if {\n\tx := input.b\n\tsome y in input.c\n\ty == x\n}") {
		if strings.HasSuffix(mutant, ": true") && !strings.HasPrefix(mutant, "drop expression") {
			t.Error(mutant)
		}
		if strings.Contains(mutant, "not x :=") || strings.Contains(mutant, "not some") {
			t.Error(mutant)
		}
	}
}

func TestEachMutantOfThePoliciesIsOneChangeThatParses(t *testing.T) {
	policies, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	mutants, err := all(policies, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(mutants) < 1000 {
		t.Fatalf("only %d mutants", len(mutants))
	}
	seen := map[string]bool{}
	unparsed := 0
	for i, mutant := range mutants {
		original := string(policies.texts[mutant.File])
		if mutant.Number != i+1 || mutant.text == original || seen[mutant.File+mutant.text] {
			t.Errorf("%d %s:%d is not one of its own", mutant.Number, mutant.File, mutant.Line)
		}
		seen[mutant.File+mutant.text] = true
		line := strings.Split(original, "\n")[mutant.Line-1]
		if !strings.HasPrefix(mutant.Old, oneLine(line)) {
			t.Errorf("%s:%d has %q, not %q", mutant.File, mutant.Line, line, mutant.Old)
		}
		if _, err := ast.ParseModule(mutant.File, mutant.text); err != nil {
			unparsed++
		}
	}
	if unparsed*100 > len(mutants) {
		t.Errorf("%d of %d mutants do not parse", unparsed, len(mutants))
	}
}
