package decisionlog

import (
	"bytes"
	"io"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

func reader(content []byte) io.Reader { return bytes.NewReader(content) }

// What a pointer names is null in its place, or left out with its name, and nothing
// beside it; the document stays whole.
func TestErase(t *testing.T) {
	for name, c := range map[string]struct {
		erase, leaveOut []string
		document        string
		want            string
	}{
		"a key":                     {[]string{"/a"}, nil, `{"a": 1, "ab": 2}`, `{"a": null, "ab": 2}`},
		"a nested key":              {[]string{"/a/b"}, nil, `{"a": {"b": 1, "c": 2}}`, `{"a": {"b": null, "c": 2}}`},
		"what is not there":         {[]string{"/x/y", "/a/b/c"}, []string{"/z"}, `{"a": {"b": 1}}`, `{"a": {"b": 1}}`},
		"only below":                {[]string{"/b"}, []string{"/b"}, `{"a": {"b": 1}}`, `{"a": {"b": 1}}`},
		"an element keeps indices":  {[]string{"/a/1"}, []string{"/a/0"}, `{"a": [1, 2, 3]}`, `{"a": [null, null, 3]}`},
		"every element":             {[]string{"/a/*/t"}, nil, `{"a": [{"t": 1, "u": 2}, {"t": 3}], "t": 4}`, `{"a": [{"t": null, "u": 2}, {"t": null}], "t": 4}`},
		"every key":                 {[]string{"/*/t"}, nil, `{"a": {"t": 1}, "b": {"t": 2, "u": 3}}`, `{"a": {"t": null}, "b": {"t": null, "u": 3}}`},
		"named and every":           {[]string{"/a/x", "/*/y", "/a/*/z"}, nil, `{"a": {"x": 1, "y": 2, "w": {"z": 3}}, "b": {"x": 4, "y": 5}}`, `{"a": {"x": null, "y": null, "w": {"z": null}}, "b": {"x": 4, "y": null}}`},
		"same path named and every": {[]string{"/a/b/c", "/*/b/d", "/a/b/e"}, nil, `{"a": {"b": {"c": 1, "d": 2, "e": 3, "f": 4}}}`, `{"a": {"b": {"c": null, "d": null, "e": null, "f": 4}}}`},
		"escaped slash and tilde":   {[]string{"/a~1b"}, []string{"/c~0d"}, `{"a/b": 1, "c~d": 2, "e": 3}`, `{"a/b": null, "e": 3}`},
		"a member of a set":         {[]string{"/s/0"}, nil, `{"s": {"only"}}`, `{"s": [null]}`},
		"a longer pointer too":      {[]string{"/a/b", "/a"}, nil, `{"a": {"b": 1}}`, `{"a": null}`},
		"the empty key":             {[]string{"/"}, nil, `{"": 1, "a": 2}`, `{"": null, "a": 2}`},
		"left out":                  {nil, []string{"/a", "/b/c"}, `{"a": 1, "b": {"c": 2, "d": 3}}`, `{"b": {"d": 3}}`},
		"left out and erased":       {[]string{"/a", "/b/*"}, []string{"/a", "/b/c"}, `{"a": 1, "b": {"c": 2, "d": 3}}`, `{"b": {"d": null}}`},
		"nothing is left":           {nil, []string{"/a"}, `{"a": 1}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			set := &pointers{}
			for is, list := range map[fate][]string{erased: c.erase, leftOut: c.leaveOut} {
				for _, pointer := range list {
					if err := set.add(pointer, is); err != nil {
						t.Fatal(err)
					}
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

// What is no mask makes none; one that says nothing erases what is always erased.
func TestParsePointers(t *testing.T) {
	for _, text := range []string{
		`{"erase": {"a"}}`, `{"erase": {""}}`, `{"erase": {1}}`, `{"erase": "/a"}`, `{"leave_out": {"a"}}`, `{"leave_out": null}`,
		`{"erased": {"/a"}}`, `{"erase": {"/a"}, "other": set()}`, `{1: {"/a"}}`, `{"/a"}`, `["/a"]`, `"/a"`, `true`, `null`,
	} {
		if set, err := parsePointers(ast.MustParseTerm(text).Value); err == nil {
			t.Errorf("%s: got %+v", text, set)
		}
	}
	for _, text := range []string{`{}`, `{"erase": set()}`, `{"leave_out": []}`, `{"erase": {"/a"}, "leave_out": ["/a", "/b/c"]}`} {
		set, err := parsePointers(ast.MustParseTerm(text).Value)
		if err != nil {
			t.Fatal(err)
		}
		got := appendValue(nil, ast.MustParseTerm(`{"attributes": {"request": {"http": {"rawBody": "x", "headers": {"authorization": "x"}}}}}`).Value, set)
		if !sameJSON(t, got, []byte(`{"attributes": {"request": {"http": {"rawBody": null, "headers": {"authorization": null}}}}}`)) {
			t.Errorf("%s: credentials and raw body are left: %s", text, got)
		}
	}
}

// A mask that was parsed before is the same one; another is not taken for it.
func TestParsedMasks(t *testing.T) {
	var masks parsedMasks
	for range 3 {
		for _, name := range []string{"a", "b", "c"} {
			set, err := masks.parse(ast.MustParseTerm(`{"erase": {"/` + name + `"}}`).Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, is := set.step(name); is != erased || len(set.below) != 2 { // and /attributes
				t.Errorf("%s: got %+v", name, set)
			}
		}
	}
	one, _ := masks.parse(ast.MustParseTerm(`{"erase": {"/a"}}`).Value)
	if again, _ := masks.parse(ast.MustParseTerm(`{"erase": {"/a"}}`).Value); again != one {
		t.Error("it was parsed again")
	}
}
