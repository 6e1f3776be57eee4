package decisionlog

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Every term is written as the JSON that OPA itself makes of it.
func TestAppendValue(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `-12.50`, `12345678901234567890`, `""`, `"a\"b\\c\n\u0000\u007f\u2028日本"`,
		`[]`, `{}`, `set()`, `[1, [], {}, [2]]`, `{"b": 1, "a": {"c": [null]}}`, `{1: 2, [3]: 4}`, `{"x", "y"}`,
	} {
		value := ast.MustParseTerm(text).Value
		want, err := ast.JSON(value)
		if err != nil {
			t.Fatal(err)
		}
		wantText, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := appendValue(nil, value, nil)
		if !sameJSON(t, got, wantText) {
			t.Errorf("%s: got %s, want %s", text, got, wantText)
		}
	}
	if got := string(appendValue(nil, nil, nil)); got != "null" {
		t.Errorf("no value: got %s", got)
	}
}

// Whatever bytes a caller sends, a string is one line of valid JSON.
func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a\r\n\x00\"\\", "\xff\xfe", "\xed\xa0\x80", "日\xe6\x97", "\u2028\x7f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := appendString(nil, text)
		var back string
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if utf8.ValidString(text) && back != text {
			t.Errorf("%q came back as %q", text, back)
		}
		for _, c := range line {
			if c < ' ' || !utf8.Valid(line) {
				t.Fatalf("%q is not one line of UTF-8", line)
			}
		}
	})
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	x, err := ast.ValueFromReader(reader(a))
	if err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	y, err := ast.ValueFromReader(reader(b))
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return x.Compare(y) == 0
}
