package places_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"paymesh.internal/pdp/places"
)

func ask(t *testing.T, rego string, arguments ...string) (string, error) {
	t.Helper()
	bundle := t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "p.rego"), []byte("package p\n"+rego), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	command := places.Command()
	command.SetArgs(append([]string{"--bundle", bundle}, arguments...))
	command.SetOut(&out)
	command.SetErr(&bytes.Buffer{})
	err := command.Execute()
	return strings.TrimSpace(out.String()), err
}

// Leaves are named, and above them only what is read in full; a name is escaped.
func TestPlaces(t *testing.T) {
	for rego, want := range map[string]string{
		`decision.allowed if input.a.b == 1`:                       `[{"pointer":"/a/b","whole":false}]`,
		`decision.allowed if input.a["x/~y"]`:                      `[{"pointer":"/a/x~1~0y","whole":false}]`,
		`decision.allowed if { some x in input.a; x.b == 1 }`:      `[{"pointer":"/a/*/b","whole":false}]`,
		`decision.allowed if "x" in object.keys(input.a)`:          `[{"pointer":"/a/*","whole":false}]`,
		`decision.allowed if count(input.a) == 7`:                  `[{"pointer":"/a/*","whole":false}]`,
		`decision.allowed if contains(json.marshal(input.a), "x")`: `[{"pointer":"/a","whole":true}]`,
		`decision.allowed if input.a == {"x": "1"}`:                `[{"pointer":"/a","whole":true}]`,
		`decision.allowed if true with input.a as 1`:               `[{"pointer":"","whole":true}]`,
		`decision := {"allowed": true, "echo": input.a}`:           `[{"pointer":"/a","whole":false}]`,
		`decision.allowed := true`:                                 `[]`,
	} {
		got, err := ask(t, rego, "--query", "data.p.decision")
		if want := `"input":` + want; err != nil || !strings.Contains(got, want) {
			t.Errorf("%s\n got: %s %v\nwant: %s", rego, got, err, want)
		}
	}
}

// What a token says is apart from the header that carries it.
func TestClaims(t *testing.T) {
	got, err := ask(t, `decision.allowed if io.jwt.decode(input.attributes.request.http.headers.authorization)[1].sub == "x"`,
		"--query", "data.p.decision")
	if want := `"header":[],"claims":[{"pointer":"/sub","whole":false}]`; err != nil || !strings.Contains(got, want) {
		t.Errorf("got: %s %v", got, err)
	}
}

// A query that is no reference has no places, and says so.
func TestQuery(t *testing.T) {
	for _, query := range []string{"x := data.p", "input.a", "data.p[x]"} {
		if got, err := ask(t, `decision := 1`, "--query", query); err == nil {
			t.Errorf("%s: %s", query, got)
		}
	}
}
