package decisionlog

import (
	"bytes"
	"io"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

func reader(content []byte) io.Reader { return bytes.NewReader(content) }

// A pointer erases what it names, and nothing beside it; the document stays whole.
func TestErase(t *testing.T) {
	for name, c := range map[string]struct {
		pointers []string
		document string
		want     string
	}{
		"a key":                     {[]string{"/a"}, `{"a": 1, "ab": 2}`, `{"ab": 2}`},
		"a nested key":              {[]string{"/a/b"}, `{"a": {"b": 1, "c": 2}}`, `{"a": {"c": 2}}`},
		"what is not there":         {[]string{"/x/y", "/a/b/c"}, `{"a": {"b": 1}}`, `{"a": {"b": 1}}`},
		"only below":                {[]string{"/b"}, `{"a": {"b": 1}}`, `{"a": {"b": 1}}`},
		"an element keeps indices":  {[]string{"/a/1"}, `{"a": [1, 2, 3]}`, `{"a": [1, null, 3]}`},
		"every element":             {[]string{"/a/*/t"}, `{"a": [{"t": 1, "u": 2}, {"t": 3}], "t": 4}`, `{"a": [{"u": 2}, {}], "t": 4}`},
		"every key":                 {[]string{"/*/t"}, `{"a": {"t": 1}, "b": {"t": 2, "u": 3}}`, `{"a": {}, "b": {"u": 3}}`},
		"named and every":           {[]string{"/a/x", "/*/y", "/a/*/z"}, `{"a": {"x": 1, "y": 2, "w": {"z": 3}}, "b": {"x": 4, "y": 5}}`, `{"a": {"w": {}}, "b": {"x": 4}}`},
		"same path named and every": {[]string{"/a/b/c", "/*/b/d", "/a/b/e"}, `{"a": {"b": {"c": 1, "d": 2, "e": 3, "f": 4}}}`, `{"a": {"b": {"f": 4}}}`},
		"escaped slash and tilde":   {[]string{"/a~1b", "/c~0d"}, `{"a/b": 1, "c~d": 2, "e": 3}`, `{"e": 3}`},
		"a member of a set":         {[]string{"/s/0"}, `{"s": {"only"}}`, `{"s": [null]}`},
		"a longer pointer too":      {[]string{"/a/b", "/a"}, `{"a": {"b": 1}}`, `{}`},
		"the empty key":             {[]string{"/"}, `{"": 1, "a": 2}`, `{"a": 2}`},
	} {
		t.Run(name, func(t *testing.T) {
			set := &pointers{}
			for _, pointer := range c.pointers {
				if err := set.add(pointer); err != nil {
					t.Fatal(err)
				}
			}
			document := ast.MustParseTerm(c.document).Value
			before := document.String()
			if got := appendValue(nil, document, set); !sameJSON(t, got, []byte(c.want)) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if document.String() != before {
				t.Error("the document was changed")
			}
		})
	}
}

// What is no pointer makes no mask.
func TestParsePointers(t *testing.T) {
	for _, text := range []string{`{"a"}`, `{""}`, `{1}`, `"/a"`, `{"/a": 1}`, `true`, `null`} {
		if set, err := parsePointers(ast.MustParseTerm(text).Value); err == nil {
			t.Errorf("%s: got %+v", text, set)
		}
	}
	for _, text := range []string{`set()`, `[]`, `{"/a"}`, `["/a", "/b/c"]`} {
		set, err := parsePointers(ast.MustParseTerm(text).Value)
		if err != nil {
			t.Fatal(err)
		}
		got := appendValue(nil, ast.MustParseTerm(`{"attributes": {"request": {"http": {"rawBody": "x", "headers": {"authorization": "x"}}}}}`).Value, set)
		if !sameJSON(t, got, []byte(`{"attributes": {"request": {"http": {"headers": {}}}}}`)) {
			t.Errorf("%s: credentials and raw body are left: %s", text, got)
		}
	}
}

// A mask that was parsed before is the same one; another is not taken for it.
func TestParsedMasks(t *testing.T) {
	var masks parsedMasks
	for range 3 {
		for _, name := range []string{"a", "b", "c"} {
			set, err := masks.parse(ast.MustParseTerm(`{"/` + name + `"}`).Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, erased := set.step(name); !erased || len(set.below) != 2 { // and /attributes
				t.Errorf("%s: got %+v", name, set)
			}
		}
	}
	one, _ := masks.parse(ast.MustParseTerm(`{"/a"}`).Value)
	if again, _ := masks.parse(ast.MustParseTerm(`{"/a"}`).Value); again != one {
		t.Error("it was parsed again")
	}
}
