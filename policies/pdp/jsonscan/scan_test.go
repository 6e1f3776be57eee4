package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"paymesh.internal/pdp/jsonscan"
)

func random(r *rand.Rand, depth int) any {
	texts := []string{"", "a", `"`, `\`, `\"`, "\n", "ü", "{", "]", ",", ":", "\\\\", "long enough to be no accident"}
	switch kind := r.IntN(8); {
	case kind == 0 && depth > 0:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = random(r, depth-1)
		}
		return list
	case kind <= 2 && depth > 0:
		object := map[string]any{}
		for range r.IntN(4) {
			object[texts[r.IntN(len(texts))]] = random(r, depth-1)
		}
		return object
	case kind == 3:
		return r.Float64()
	case kind == 4:
		return r.IntN(2) == 0
	case kind == 5:
		return nil
	}
	return texts[r.IntN(len(texts))]
}

// What an encoder writes is gone over to its end, in every form of white space, and no
// part of an object or a string is taken for the whole.
func TestValue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		value := random(r, 4)
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "\t"); err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]byte{text, indented.Bytes()} {
			if end := jsonscan.Value(form, 0); end != len(form) {
				t.Fatalf("%s: ends at %d", form, end)
			}
			if first := form[0]; first != '{' && first != '[' && first != '"' {
				continue
			}
			for cut := range form {
				if end := jsonscan.Value(form[:cut], 0); end != -1 {
					t.Fatalf("%s: ends at %d", form[:cut], end)
				}
			}
		}
	}
}

// Members and elements are those that a decoder finds.
func TestMembersAndElements(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		value := random(r, 3)
		text, _ := json.Marshal(value)
		switch value := value.(type) {
		case map[string]any:
			names := []string{}
			end := jsonscan.Members(text, 0, func(name []byte, at int) int {
				names = append(names, string(name))
				want, _ := json.Marshal(value[string(name)])
				if got := text[at:jsonscan.Value(text, at)]; !bytes.Equal(got, want) {
					t.Fatalf("%s: %s is %s", text, name, got)
				}
				return 0
			})
			if end != len(text) || !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(maps.Keys(value))) {
				t.Fatalf("%s: %v, end %d", text, names, end)
			}
		case []any:
			count := 0
			end := jsonscan.Elements(text, 0, func(at int) int {
				count++
				return jsonscan.Value(text, at)
			})
			if end != len(text) || count != len(value) {
				t.Fatalf("%s: %d elements, end %d", text, count, end)
			}
		}
	}
}

// What is no JSON is noticed, or at least ends within the text.
func TestNonsense(t *testing.T) {
	for _, text := range []string{``, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a" 1}`, `{a:1}`, `{"a":1 "b"}`, `[1`, `[1 2]`, `"a`, `"\"`, `}`, `{"a":}`, `{,}`} {
		each := func([]byte, int) int { return 0 }
		if end := jsonscan.Members([]byte(text), 0, each); end != -1 {
			t.Errorf("%s: an object that ends at %d", text, end)
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		text := make([]byte, r.IntN(12))
		for i := range text {
			text[i] = `{}[]",:\ 1tn`[r.IntN(12)]
		}
		if end := jsonscan.Value(text, 0); end > len(text) {
			t.Fatal(fmt.Sprintf("%q ends at %d", text, end))
		}
		jsonscan.Members(text, 0, func(_ []byte, at int) int { return jsonscan.Value(text, at) })
	}
}
