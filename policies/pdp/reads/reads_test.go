package reads_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"paymesh.internal/pdp/reads"
)

func TestMain(m *testing.M) {
	reads.DeclareSame()
	os.Exit(m.Run())
}

// lines show a tree of places: t for Test, m for Measure, ? for Truth, v for Verify, W for Whole.
func lines(place *reads.Place, name string) []string {
	if place == nil {
		return nil
	}
	uses := ""
	for i, use := range []reads.Use{reads.Test, reads.Measure, reads.Truth, reads.Verify, reads.Whole} {
		if place.Use&use != 0 {
			uses += string("tm?vW"[i])
		}
	}
	found := []string{strings.TrimSuffix(name+" "+uses, " ")}
	for _, member := range slices.Sorted(maps.Keys(place.Members)) {
		found = append(found, lines(place.Members[member], name+"."+member)...)
	}
	return append(found, lines(place.Each, name+"[]")...)
}

func of(t *testing.T, rego string) *reads.Reads {
	t.Helper()
	module, err := ast.ParseModule("policy.rego", rego)
	if err != nil {
		t.Fatal(err)
	}
	reads.ShowComparisons(module)
	compiler := ast.NewCompiler()
	if compiler.Compile(map[string]*ast.Module{"policy.rego": module}); compiler.Failed() {
		t.Fatal(compiler.Errors)
	}
	return reads.Of(compiler, ast.MustParseRef("data.p.decision"), []string{"allowed", "meta/grant"})
}

// What a rule reads of its input is found through aliases, functions, loops, patterns
// and comprehensions; a value counts as whole as soon as it is more than tested.
func TestInput(t *testing.T) {
	for rego, want := range map[string]string{
		`decision.allowed if input.a == 1`:                                           `input, input.a m`,
		`decision.allowed if input.a == input.b`:                                     `input, input.a t, input.b t`,
		`decision.allowed if input.a.b.c`:                                            `input, input.a, input.a.b, input.a.b.c ?`,
		`decision.allowed if not input.a`:                                            `input, input.a ?`,
		`decision.allowed if is_string(input.a)`:                                     `input, input.a`,
		`decision.allowed if input.a > 3`:                                            `input, input.a t`,
		`decision.allowed if data.x[input.a]`:                                        `input, input.a W`,
		`decision.allowed if input.a = {"b": 1}`:                                     `input, input.a W`,
		`decision.allowed if input.a[_] == 1`:                                        `input, input.a, input.a[] m`,
		`decision.allowed if input.a[input.k] == 1`:                                  `input, input.a, input.a[] m, input.k W`,
		`decision.allowed if "x" in object.keys(input.a)`:                            `input, input.a, input.a[]`,
		`decision.allowed if object.get(input.a, "x", 0) == 1`:                       `input, input.a, input.a.x m`,
		`decision.allowed if count(input.a) > 1`:                                     `input, input.a m, input.a[]`,
		`decision.allowed if split(input.a, "/")[0] == "x"`:                          `input, input.a W`,
		`decision.allowed if upper(input.a) == "x"`:                                  `input, input.a t`,
		`decision.allowed if upper(input.a) = "x"`:                                   `input, input.a tW`,
		`decision.allowed if { x := input.a; regex.match("x", x) }`:                  `input, input.a t`,
		`decision.allowed if { [x, _] := input.a; x > 1 }`:                           `input, input.a, input.a[] t`,
		`decision.allowed if { some x in input.a; x.b > 1 }`:                         `input, input.a, input.a[], input.a[].b t`,
		`decision.allowed if { every x in input.a { x.b > 1 } }`:                     `input, input.a, input.a[], input.a[].b t`,
		`decision.allowed if { count({x | some x in input.a}) > 1 }`:                 `input, input.a, input.a[] W`,
		`decision.allowed if { count([x | some x in input.a]) > 1 }`:                 `input, input.a, input.a[]`,
		"decision.allowed if f(input.a)\nf(x) if x.b > 1":                            `input, input.a, input.a.b t`,
		"decision.allowed if f(input.a)\nf(\"x\")":                                   `input, input.a W`,
		"decision.allowed if alias.b > 1\nalias := input.a":                          `input, input.a, input.a.b t`,
		"decision.allowed if alias.b > 1\nalias := {\"b\": input.c, \"d\": input.e}": `input, input.c t, input.e`,
		"decision.allowed if all[\"x\"]\nall contains input.a":                       `input, input.a ?W`,
		"decision.allowed if data.p.q == 1\nq := input.a":                            `input, input.a m`,
		`decision := {"allowed": input.a, "meta": {"grant": input.b, "x": input.c}}`: `input, input.a W, input.b W, input.c`,
		`decision := input.a`:                                                        `input, input.a W`,
		"decision.allowed if input.a == 1 with input.b as 2":                         `input W`,
		"decision.allowed if f(input.a)\nf(x) := true if x == 1 with input.b as 2":   `input W`,
		"decision.allowed if true\nunused if input.a":                                `input`,
	} {
		if got := strings.Join(lines(of(t, "package p\n"+rego).Input, "input"), ", "); got != want {
			t.Errorf("%s\n got: %s\nwant: %s", rego, got, want)
		}
	}
}

// Of a token in the authorization header it is known what it says; any other is a
// string that is read whole.
func TestToken(t *testing.T) {
	const token = "token := substring(input.attributes.request.http.headers.authorization, 7, -1)\n"
	for rego, want := range map[string]string{
		`decision.allowed if io.jwt.decode(token)[1].sub == "x"`:                               `header | claims, claims.sub m`,
		`decision.allowed if { [h, c, _] := io.jwt.decode(token); h.kid > "x"; c.tenant > 1 }`: `header, header.kid t | claims, claims.tenant t`,
		`decision.allowed if io.jwt.decode_verify(token, {"cert": "", "time": 1})[0]`:          `header, header.alg v, header.kid v | claims, claims.aud v, claims.exp t, claims.iss v, claims.nbf t`,
		`decision.allowed if io.jwt.verify_es256(token, "")`:                                   `header W | claims W`,
		`decision.allowed if io.jwt.decode(input.other)[1].sub == "x"`:                         `header | claims, claims.sub m`,
	} {
		found := of(t, "package p\n"+token+rego)
		got := strings.Join(lines(found.Header, "header"), ", ") + " | " + strings.Join(lines(found.Claims, "claims"), ", ")
		if got != want {
			t.Errorf("%s\n got: %s\nwant: %s", rego, got, want)
		}
		if other := found.Input.Member([]byte("other")); other != nil && other.Use&reads.Whole == 0 {
			t.Errorf("%s: another token is not read whole", rego)
		}
	}
}

// The clock may be compared and reckoned with; whatever else is done with it makes
// each moment another.
func TestTime(t *testing.T) {
	for rego, want := range map[string]bool{
		`decision.allowed if input.a < time.now_ns()`:                                         false,
		`decision.allowed if input.a < (time.now_ns() / 1000000000) - 5`:                      false,
		`decision.allowed if { now := time.now_ns(); input.a < now; input.b > now }`:          false,
		`decision.allowed if io.jwt.decode_verify(input.a, {"time": time.now_ns()})[0]`:       false,
		`decision.allowed if input.a = time.now_ns()`:                                         true,
		`decision.allowed if time.weekday(time.now_ns()) == "Monday"`:                         false,
		`decision.allowed if time.clock(time.now_ns())[0] > 8`:                                true,
		`decision.allowed if data.x[time.now_ns()]`:                                           true,
		`decision.allowed if time.now_ns() in {1, 2}`:                                         false,
		`decision.allowed if count({1, time.now_ns()}) > 1`:                                   true,
		`decision := {"allowed": true, "meta": {"grant": time.now_ns()}}`:                     true,
		`decision := {"allowed": true, "meta": {"x": time.now_ns()}}`:                         false,
		"decision.allowed if f(time.now_ns())\nf(5)":                                          true,
		`decision.allowed if { some now in [1, time.now_ns()]; now > 5 }`:                     false,
		`decision.allowed if io.jwt.decode_verify("", {"cert": "", "aud": time.now_ns()})[0]`: true,
	} {
		if got := of(t, "package p\n"+rego).WholeTime; got != want {
			t.Errorf("%s: got %v", rego, got)
		}
	}
}
