package traps

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// example is a few rules of one package; want is `line: rule` of every problem.
type example struct {
	name string
	rego string
	want []string
}

func (e example) run(t *testing.T) { e.runAs(t, "p.rego") }

func (e example) runAs(t *testing.T, file string) {
	t.Helper()
	module, err := ast.ParseModuleWithOpts(file, "package p\n"+e.rego, ast.ParserOptions{ProcessAnnotation: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, problem := range Find(map[string]*ast.Module{file: module}) {
		got = append(got, fmt.Sprintf("%d: %s", problem.Line-1, problem.Rule))
	}
	if strings.Join(got, "\n") != strings.Join(e.want, "\n") {
		t.Errorf("%s\ngot  %q\nwant %q", e.rego, got, e.want)
	}
}

func runAll(t *testing.T, examples []example) {
	t.Helper()
	for _, one := range examples {
		t.Run(one.name, one.run)
	}
}

func one(rule string) []string { return []string{"1: " + rule} }

func TestADecisionNeedsADefault(t *testing.T) {
	want := one("missing-default")
	runAll(t, []example{
		{"none", `allow if input.a`, want},
		{"several rules, one problem", "decision := 1 if input.a\ndecision := 2 if input.b", want},
		{"else is no default", `deny if { input.a } else := true if { input.b }`, want},
		{"an entrypoint of another name", "# METADATA\n# entrypoint: true\n# scope: document\nmask := 1 if input.a", []string{"4: missing-default"}},
		{"with one", "default allow := false\nallow if input.a", nil},
		{"with one, elsewhere", "allow if input.a\ndefault allow := false", nil},
		{"a set is never undefined", `deny contains "x" if input.a`, nil},
		{"asked from inside only", `helper if input.a`, nil},
		{"a function", `allow(x) if x`, nil},
	})
}

func TestNotOfAFieldThatMayBeMissing(t *testing.T) {
	want := one("not-on-body")
	runAll(t, []example{
		{"field", `a if not input.parsed_body.dangerous`, want},
		{"comparison of a field", `a if not input.parsed_body.kind == "X"`, want},
		{"field within a call", `a if not startswith(input.parsed_body.kind, "X/")`, want},
		{"whole body within a call", `a if not is_object(input.parsed_body)`, want},
		{"was it truncated", `a if not input.truncated_body`, want},
		{"by another name", "a if not _body.kind == 1\n_body := input.parsed_body if is_object(input.parsed_body)", want},
		{"through a rule", "a if not _dangerous\n_dangerous if input.parsed_body.dangerous", want},
		{"through two rules", "a if not _b\n_b if _c\n_c := input.parsed_body.c", want},
		{"through a function", "a if not _f(1)\n_f(x) if input.parsed_body.x == x", want},
		{"in an else", "a := 1 if { input.x } else := 2 if { not input.parsed_body.y }", want},
		{"in a comprehension", `a := [1 | not input.parsed_body.y]`, want},
		{"whether there is a body", "a if not _body\n_body := input.parsed_body if is_object(input.parsed_body)", nil},
		{"whether there is a body, by itself", `a if not input.parsed_body`, nil},
		{"a rule with a default", "a if not _b\ndefault _b := false\n_b if input.parsed_body.b", nil},
		{"a rule with a last else", "a if not _b\n_b := input.parsed_body.b if { input.parsed_body } else := true", nil},
		{"a set", "a if not \"x\" in _b\n_b contains x if some x in input.parsed_body.b", nil},
		{"asked for before", `a if input.parsed_body.kind != "X"`, nil},
		{"another part of the input", `a if not input.attributes.x`, nil},
	})
}

func TestAPartOfANameIsNoName(t *testing.T) {
	want := one("no-delimiter")
	runAll(t, []example{
		{"prefix", `a if startswith(input.path, "/admin")`, want},
		{"suffix", `a if endswith(input.host, "internal")`, want},
		{"a dot stands in names", `a if endswith(input.host, ".internal")`, want},
		{"part", `a if contains(input.path, "admin/")`, want},
		{"empty", `a if startswith(input.path, "")`, want},
		{"not constant", `a if startswith(input.path, data.prefix)`, want},
		{"one of several", `a if strings.any_prefix_match(input.path, {"/a/", "/b"})`, want},
		{"constant of a rule", "a if startswith(input.path, _p)\n_p := \"/admin\"", want},
		{"put together", `a if startswith(input.path, concat("", ["/", data.x]))`, want},
		{"negated", `a if not startswith(input.path, "/admin")`, want},
		{"in a function's argument", `a := count([1 | startswith(input.path, "/admin")])`, want},
		{"prefix with its end", `a if startswith(input.path, "/admin/")`, nil},
		{"suffix with its beginning", `a if endswith(input.name, "@example.com")`, nil},
		{"part with both", `a if contains(input.path, "/admin/")`, nil},
		{"only a delimiter", `a if contains(input.path, "~")`, nil},
		{"put together with an end", `a if startswith(input.path, concat("", ["/", data.x, "/"]))`, nil},
		{"constant of a rule with its end", "a if startswith(input.path, _p)\n_p := \"/admin/\"", nil},
	})
}

func TestAPatternIsAnchored(t *testing.T) {
	want := one("unanchored-regex")
	runAll(t, []example{
		{"neither end", "a if regex.match(`[a-z]+`, input.x)", want},
		{"no begin", "a if regex.match(`[a-z]+$`, input.x)", want},
		{"no end", "a if regex.match(`^[a-z]+`, input.x)", want},
		{"half of an alternative", "a if regex.match(`^a|b$`, input.x)", want},
		{"lines, not the text", "a if regex.match(`(?m)^a$`, input.x)", want},
		{"not constant", "a if regex.match(data.pattern, input.x)", want},
		{"constant of a rule", "a if regex.match(_p, input.x)\n_p := `a`", want},
		{"one of an object", "a if regex.match(_p[input.y], input.x)\n_p := {\"a\": `^a$`, \"b\": `b`}", want},
		{"no pattern at all", "a if regex.match(`^[a-`, input.x)", want},
		{"glob without delimiters", `a if glob.match("a*", [], input.x)`, want},
		{"both ends", "a if regex.match(`^[a-z]+$`, input.x)", nil},
		{"alternatives within", "a if regex.match(`^(?:a|b)$`, input.x)", nil},
		{"both alternatives", "a if regex.match(`^a$|^bc$`, input.x)", nil},
		{"constants of a rule", "a if regex.match(_p[input.y], input.x)\n_p := {\"a\": `^a$`, \"b\": `^b$`}", nil},
		{"glob with delimiters", `a if glob.match("a/*", ["/"], input.x)`, nil},
	})
}

func TestOneThatDiffersIsNotAllThatDiffer(t *testing.T) {
	want := one("not-equal-in-loop")
	runAll(t, []example{
		{"some in", `a if { some x in input.xs; x != "admin" }`, want},
		{"a part of it", `a if { some x in input.xs; x.role != "admin" }`, want},
		{"the key", `a if { some i, _ in input.xs; i != 0 }`, want},
		{"declared", `a if { some i; input.xs[i] != "admin" }`, want},
		{"wildcard", `a if input.xs[_] != "admin"`, want},
		{"by another name", `a if { some x in input.xs; y := lower(x); y != "admin" }`, want},
		{"on the right", `a if { some x in input.xs; "admin" != x }`, want},
		{"in a function", `a(xs) if { some x in xs; x != "admin" }`, want},
		{"in an else", `a := 1 if { input.b } else := 2 if { some x in input.xs; x != "admin" }`, want},
		{"not in", `a if not "admin" in input.xs`, nil},
		{"every", `a if { every x in input.xs { x != "admin" } }`, nil},
		{"a filter", `a := [x | some x in input.xs; x != "admin"]`, nil},
		{"a partial rule", `a contains x if { some x in input.xs; x != "admin" }`, nil},
		{"counted", `a if count([x | some x in input.xs; x != "admin"]) == 0`, nil},
		{"no loop", `a if input.x != "admin"`, nil},
		{"something else than the loop's", `a if { some x in input.xs; x == "b"; input.y != "c" }`, nil},
	})
}

func TestAPartOfASpiffeIDIsNobody(t *testing.T) {
	want := one("spiffe-prefix")
	runAll(t, []example{
		{"prefix", `a if startswith(input.attributes.source.principal, "spiffe://mesh/ns/paymesh/")`, want},
		{"suffix", `a if endswith(input.caller, "/sa/payments")`, want},
		{"part", `a if contains(_principal, "/sa/payments")`, want},
		{"constant", `a if startswith(input.x, "spiffe://mesh/")`, want},
		{"put together", `a if startswith(input.x, concat("", ["spiffe://", data.domain, "/"]))`, want},
		{"cut off", `a if trim_prefix(input.x, "spiffe://mesh/ns/paymesh/sa/") == "payments"`, want},
		{"pattern", "a if regex.match(`^spiffe://mesh/.*$`, input.x)", want},
		{"glob", `a if glob.match("spiffe://mesh/*", ["/"], input.x)`, want},
		{"whole", `a if input.caller == "spiffe://mesh/ns/paymesh/sa/payments"`, nil},
		{"its parts", `a if ["spiffe:", "", "mesh", "ns", "paymesh", "sa", "payments"] == split(input.principal, "/")`, nil},
		{"another text", `a if startswith(input.path, "/sa/")`, nil},
	})
}

func TestADecisionAsksNobody(t *testing.T) {
	want := one("nondeterministic")
	runAll(t, []example{
		{"the network", `a := http.send({"method": "GET", "url": "https://x"})`, want},
		{"the name service", `a := net.lookup_ip_addr("x")`, want},
		{"the process", `a := opa.runtime().env.X`, want},
		{"chance", `a if rand.intn("x", 2) == 0`, want},
		{"an id", `a := uuid.rfc4122("x")`, want},
		{"a signature", `a := io.jwt.encode_sign({}, {}, {})`, want},
		{"the decision's time", `a := time.now_ns()`, nil},
		{"a hash", `a := crypto.sha256(input.x)`, nil},
	})
}

func TestATestIsNotPassedByOneOfItsCases(t *testing.T) {
	want := one("loop-in-test")
	for _, one := range []example{
		{"any will do", `test_a if { some x in [1, 2]; x == 1 }`, want},
		{"one loop of two is named", `test_a[x] if { some x in [1, 2]; some y in [1, 2]; x == y }`, want},
		{"every", `test_a if { every x in [1, 2] { x > 0 } }`, nil},
		{"named", `test_a[x] if { some x in [1, 2]; x > 0 }`, nil},
		{"named by its key", `test_a[note] if { some note, x in {"a": 1}; x > 0 }`, nil},
		{"both named", `test_a[note] if { some x in [1, 2]; some y in [1, 2]; note := [x, y]; x < y }`, nil},
		{"no test", `helper if { some x in [1, 2]; x == 1 }`, nil},
		{"what rules have is no trap here", `test_a if not input.parsed_body.x`, nil},
	} {
		t.Run(one.name, func(t *testing.T) { one.runAs(t, "p_test.rego") })
	}
}

func TestAnExemptionNeedsATrapAndAReason(t *testing.T) {
	runAll(t, []example{
		{"above", "# trap: ok, nondeterministic: for an example\na := opa.runtime()", nil},
		{"on the line", "a := opa.runtime() # trap: ok, nondeterministic: for an example", nil},
		{"above the metadata", "# trap: ok, nondeterministic: for an example\n\n# METADATA\n# title: x\na := opa.runtime()", nil},
		{"two for one line", "# trap: ok, not-on-body: for an example\n# trap: ok, no-delimiter: too\na if not startswith(input.parsed_body.x, \"a\")", nil},
		{"in a body", "a if {\n\tinput.b\n\t# trap: ok, no-delimiter: for an example\n\tstartswith(input.c, \"d\")\n}", nil},
		{"not needed", "# trap: ok, nondeterministic: for an example\na := 1", one("exemption")},
		{"of another rule", "# trap: ok, no-delimiter: for an example\na := opa.runtime()", []string{"1: exemption", "2: nondeterministic"}},
		{"of the line before", "a := opa.runtime()\n# trap: ok, nondeterministic: for an example\nb := 1", []string{"1: nondeterministic", "2: exemption"}},
		{"without a reason", "# trap: ok, nondeterministic:\na := opa.runtime()", []string{"1: exemption", "2: nondeterministic"}},
		{"of no rule", "# trap: ok, randomness: for an example\na := opa.runtime()", []string{"1: exemption", "2: nondeterministic"}},
		{"at the end", "a := 1\n# trap: ok, nondeterministic: for an example", []string{"2: exemption"}},
	})
}

func TestAProblemSaysWhereAndWhatToWrite(t *testing.T) {
	module := ast.MustParseModule("package p\n\na if startswith(input.path, \"/admin\")")
	problems := Find(map[string]*ast.Module{"policies/p.rego": module})
	want := `policies/p.rego:3:6: no-delimiter: startswith without a delimiter: "/admin" is also part of longer names; end it with a delimiter, or compare with ` + "`==`"
	if len(problems) != 1 || problems[0].String() != want {
		t.Errorf("got %v, want %s", problems, want)
	}
}

// The body of one file is known by its name in another file of the package.
func TestRulesOfOtherFilesCount(t *testing.T) {
	modules := map[string]*ast.Module{
		"a.rego": ast.MustParseModule("package p\na if not _b"),
		"b.rego": ast.MustParseModule("package p\n_b if input.parsed_body.b"),
		"c.rego": ast.MustParseModule("package other\na if not _b\n_b if input.b"),
	}
	problems := Find(modules)
	if len(problems) != 1 || problems[0].File != "a.rego" {
		t.Errorf("got %v", problems)
	}
}

func TestThePoliciesHaveNoTrap(t *testing.T) {
	modules := map[string]*ast.Module{}
	for _, directory := range []string{"../../paymesh", "../../system"} {
		if err := parse(directory, modules); err != nil {
			t.Fatal(err)
		}
	}
	if len(modules) == 0 {
		t.Fatal("no policies found")
	}
	for _, problem := range Find(modules) {
		t.Error(problem)
	}
}
