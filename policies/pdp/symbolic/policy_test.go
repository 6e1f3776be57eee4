package symbolic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/reads"
	"paymesh.internal/pdp/recorded"
	"paymesh.internal/pdp/symbolic"
)

func TestMain(m *testing.M) {
	candidate.Isolate()
	symbolic.Observe()
	os.Exit(m.Run())
}

func policyOf(t *testing.T, rego string) *symbolic.Policy {
	t.Helper()
	module, err := ast.ParseModule("policy.rego", "package p\n"+rego)
	if err != nil {
		t.Fatal(err)
	}
	reads.ShowComparisons(module)
	compiler := ast.NewCompiler()
	if compiler.Compile(map[string]*ast.Module{"policy.rego": module}); compiler.Failed() {
		t.Fatal(compiler.Errors)
	}
	decision := symbolic.Decision{
		Entry:   ast.MustParseRef("data.p.decision"),
		Results: []string{"allowed", "reason"},
		Decode: func(value ast.Value) symbolic.Answer {
			object, ok := value.(ast.Object)
			if !ok {
				return symbolic.Answer{Reason: "UNDEFINED"}
			}
			var answer symbolic.Answer
			if term := object.Get(ast.StringTerm("allowed")); term != nil {
				answer.Allowed = term.Equal(ast.InternedTerm(true))
			}
			if term := object.Get(ast.StringTerm("reason")); term != nil {
				answer.Reason = term.String()
			}
			return answer
		},
	}
	keys, err := recorded.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]any{"limits": map[string]any{"EUR": json.Number("100"), "USD": json.Number("50")}}
	store := inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
	policy, err := symbolic.NewPolicy(t.Context(), compiler, store, keys, reads.Of(compiler, decision.Entry, decision.Results), decision)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

var policies = []string{
	`decision := {"allowed": input.n < 50}`,
	`decision.allowed if input.a == input.b`,
	`decision.allowed if not input.a == input.b`,
	`decision.allowed if input.a != input.b`,
	`decision := {"allowed": true, "reason": input.a}`,
	`decision := {"allowed": true, "reason": concat("-", [upper(input.a), "x"])}`,
	`decision := {"allowed": true, "reason": "r", "other": input.a} if input.n > 3`,
	`decision.allowed if to_number(input.t) <= data.limits[input.c]`,
	"decision := {\"allowed\": x > 10, \"reason\": type_name(input.n)} if x := (input.n * 3) - 7",
	`decision.allowed if { some x in input.list; x.v == input.a }`,
	`decision.allowed if { every x in input.list { x.v > 3 } }`,
	`decision.allowed if count(input.list) == input.n`,
	`decision.allowed if count({x.v | some x in input.list}) == 2`,
	`decision.allowed if count([x | some x in input.list; x.v == 4]) > 1`,
	`decision.allowed if sum([x.v | some x in input.list]) > 12`,
	`decision.allowed if startswith(input.a, substring(input.b, 0, 1))`,
	`decision.allowed if [first, _] = split(input.t, ".")`,
	`decision.allowed if object.get(input, "missing", input.a) == input.b`,
	`decision.allowed if object.get(input, "a", input.n) == "x"`,
	`decision.allowed if input.o == {"p": 1}`,
	`decision.allowed if input.o.p == input.n`,
	`decision.allowed if input[input.k]`,
	`decision.allowed if input[_] == "x"`,
	`decision.allowed if "x" in input`,
	`decision.allowed if is_number(input.k)`,
	`decision.allowed if input.flag`,
	`decision.allowed if not input.flag`,
	`decision.allowed if input.time < time.now_ns() - 500000000`,
	`decision.allowed if input.time / 1000000000 > time.now_ns() / 1000000000`,
	`decision.allowed if input.time == time.now_ns()`,
	`decision.allowed if input.time = time.now_ns()`,
	`decision.allowed if time.clock(time.now_ns())[2] < 30`,
	`decision.allowed if 10 / input.n > 2`,
	`decision.allowed if regex.match(input.a, "xyz")`,
	"decision.allowed if one == two\none := input.a\ntwo := input.b",
	"decision := v\nv := {\"allowed\": true} if input.a == \"x\"\nv := {\"allowed\": false} if input.b == \"x\"",
	"decision := {\"allowed\": true, \"reason\": who}\nwho := input.a if input.n > 1\nwho := input.b if input.n > 2",
	"decision.allowed if seen[input.a]\nseen contains x.v if some x in input.list\nseen contains \"x\"",
	"decision.allowed if f(input.a, input.b)\nf(x, y) if x == y\nf(x, _) if x == \"x\"",
	"decision.allowed if f(input.n)\nf(5)\nf(x) if x > 90",
	"decision := {\"allowed\": true, \"reason\": t} if t := g(input.n)\ng(x) := \"big\" if x > 60\nelse := \"middle\" if x > 30\nelse := \"small\"",
	"decision.allowed if input.a == \"x\" with input.a as input.b",
	`decision.allowed if { x := {"k": input.a, "l": input.n}; x.k == input.b; x.l > 5 }`,
	`decision.allowed if { x := [input.a, input.b]; x[0] == x[1] }`,
	`decision.allowed if { x := {input.a, input.b}; count(x) == 1 }`,
	`decision.allowed if { x := {input.a: 1}; x[input.b] == 1 }`,
	`decision.allowed if walk(input.o, [_, "x"])`,
	`decision.allowed if json.marshal(input.o) == "{\"p\":1}"`,
	`decision.allowed if sprintf("%v/%v", [input.a, input.n]) == "x/5"`,
}

func input(r *rand.Rand, now time.Time) map[string]any {
	texts := []any{"x", "y", "xyz", "x.y", "", "5", "7.5", "x\"\\ü"}
	odd := []any{"x", 5, true, false, nil, []any{"x"}, map[string]any{"p": 1}}
	text := func() any { return texts[r.IntN(len(texts))] }
	list := []any{}
	for range r.IntN(4) {
		list = append(list, map[string]any{"v": []any{r.IntN(9), text()}[r.IntN(2)]})
	}
	document := map[string]any{
		"a": text(), "b": text(), "n": r.IntN(100), "t": []any{fmt.Sprint(r.IntN(150)), text()}[r.IntN(2)],
		"c": []string{"EUR", "USD", "XAU"}[r.IntN(3)], "k": append(odd, "a", "n")[r.IntN(len(odd)+2)], "flag": odd[r.IntN(len(odd))],
		"o": map[string]any{"p": odd[r.IntN(len(odd))]}, "list": list,
		"time": now.UnixNano() + []int64{0, 0, 1, -1, 500000000, 499999999, 500000001, 3e9, -3e9}[r.IntN(9)],
	}
	for _, name := range slices.Sorted(maps.Keys(document)) { // a map's own order is another in each run
		if r.IntN(12) == 0 {
			delete(document, name)
		} else if r.IntN(20) == 0 {
			document[name] = odd[r.IntN(len(odd))]
		}
	}
	return document
}

// Whatever a policy does with its input, the answer is that of a plain evaluation.
func TestAnswersArePlainAnswers(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, rego := range policies {
		policy, scratch := policyOf(t, rego), symbolic.NewScratch()
		answers := map[symbolic.Answer]int{}
		for range 400 {
			now := time.Unix(1_790_000_000+r.Int64N(100), r.Int64N(1_000_000_000))
			text, err := json.Marshal(input(r, now))
			if err != nil {
				t.Fatal(err)
			}
			question := &symbolic.Question{Time: now, Input: text}
			want, err := policy.Plain(t.Context(), question)
			if err != nil {
				t.Fatal(err)
			}
			got, err := policy.Answer(t.Context(), question, scratch)
			if err != nil || *got != *want {
				t.Fatalf("%s\n%s at %d\n got %+v, %v\nwant %+v", rego, text, now.UnixNano(), got, err, *want)
			}
			answers[*got]++
		}
		if len(answers) < 2 {
			t.Errorf("%s: always %v", rego, answers)
		}
	}
}

// Values that are only compared do not make a question another one.
func TestDistinct(t *testing.T) {
	for rego, want := range map[string]int{
		`decision := {"allowed": input.n < 50}`:                                2,
		`decision.allowed if { input.n > 20; input.n < 40 }`:                   3,
		`decision.allowed if input.n > time.now_ns() / 1000000000`:             1,
		`decision.allowed if { input.a == "x"; input.n > 50 }`:                 3,
		`decision := {"allowed": true, "reason": "r", "other": input.n}`:       1,
		`decision.allowed if regex.match("^[0-9]$", sprintf("%d", [input.n]))`: 100,
	} {
		policy, scratch := policyOf(t, rego), symbolic.NewScratch()
		for i := range 1000 {
			question := &symbolic.Question{
				Time:  time.Unix(1_790_000_000, int64(i)),
				Input: fmt.Appendf(nil, `{"n": %d, "a": %q}`, i%100, []string{"x", "y"}[i/100%2]),
			}
			if _, err := policy.Answer(t.Context(), question, scratch); err != nil {
				t.Fatal(err)
			}
		}
		if got := policy.Distinct(); got != want {
			t.Errorf("%s: %d", rego, got)
		}
	}
}

// A null that stands for something makes an answer partial exactly where the policy
// would look at it.
func TestErased(t *testing.T) {
	for _, test := range []struct {
		rego, input string
		want        bool
	}{
		{`decision.allowed if input.a == "x"`, `{"a": null}`, true},
		{`decision.allowed if input.a == "x"`, `{"a": "x", "b": null}`, false},
		{`decision.allowed if { input.b > 3; input.a == "x" }`, `{"a": null, "b": 1}`, false},
		{`decision.allowed if { input.b > 3; input.a == "x" }`, `{"a": null, "b": 4}`, true},
		{`decision.allowed if data.limits[input.a]`, `{"a": null}`, true},
		{`decision.allowed if input.a`, `{"a": null}`, true},
		{`decision.allowed if is_string(input.a)`, `{"a": null}`, true},
		{`decision.allowed if input.o == {"p": 1}`, `{"o": {"q": null}}`, true},
		{`decision.allowed if input.parsed_body == null`, `{"parsed_body": null}`, false},
		{`decision := {"allowed": true, "other": input.a}`, `{"a": null}`, false},
	} {
		policy := policyOf(t, test.rego)
		for range 2 {
			question := &symbolic.Question{Time: time.Unix(0, 0), Input: []byte(test.input), Erasable: true}
			got, err := policy.Answer(t.Context(), question, symbolic.NewScratch())
			if err != nil || got.Partial != test.want {
				t.Errorf("%s with %s: %+v, %v", test.rego, test.input, got, err)
			}
		}
		question := &symbolic.Question{Time: time.Unix(0, 0), Input: []byte(test.input)}
		if got, err := policy.Answer(t.Context(), question, symbolic.NewScratch()); err != nil || got.Partial {
			t.Errorf("%s with a real null: %+v, %v", test.rego, got, err)
		}
	}
}

// What cannot be repeated is an error and no answer; what is no question neither.
func TestErrors(t *testing.T) {
	policy := policyOf(t, `decision.allowed if http.send({"method": "get", "url": input.a}).status_code == 200`)
	question := &symbolic.Question{Time: time.Unix(0, 0), Input: []byte(`{"a": "http://127.0.0.1:1"}`)}
	if got, err := policy.Answer(t.Context(), question, symbolic.NewScratch()); !errors.Is(err, candidate.ErrNotRecorded) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{``, `{`, `{"a":`, `{} {}`} {
		question.Input = []byte(text)
		if got, err := policy.Answer(t.Context(), question, symbolic.NewScratch()); !errors.Is(err, symbolic.ErrUnreadable) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
