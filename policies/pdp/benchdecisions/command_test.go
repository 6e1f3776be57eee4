package benchdecisions

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const rules = `package paymesh.authz

decision := {"reason": data.paymesh.reasons[input.who]}
`

func packed(t *testing.T, files map[string]string) string {
	t.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	writer := tar.NewWriter(zipped)
	for name, content := range files {
		if err := writer.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return written(t, "bundle.tar.gz", archive.String())
}

func written(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func bundleOf(t *testing.T, data string) string {
	return packed(t, map[string]string{
		".manifest":                 `{"revision": "x", "roots": ["paymesh"]}`,
		"paymesh/authz/a.rego":      rules,
		"paymesh/reasons/data.json": data,
	})
}

// Each policy has as many turns as were asked for, and the one with more data takes
// more of the heap.
func TestRun(t *testing.T) {
	small := bundleOf(t, `{"alice": "ALLOWED"}`)
	large := bundleOf(t, `{"alice": "ALLOWED", "long": "`+strings.Repeat("x", 1<<20)+`"}`)
	asked := written(t, "asked", `{"input": {"who": "alice"}, "reason": "ALLOWED"}`+"\n")
	var out bytes.Buffer
	options := Options{Rounds: 3, Decisions: 10}
	if err := Run(context.Background(), &out, options, []string{small, asked, large, asked}); err != nil {
		t.Fatal(err)
	}
	var found struct{ Policies []Result }
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Policies) != 2 || found.Policies[0].Bundle != small || found.Policies[1].Bundle != large {
		t.Fatalf("got %+v", found)
	}
	for _, result := range found.Policies {
		if len(result.Nanoseconds) != 3 || result.Nanoseconds[0] <= 0 {
			t.Errorf("got %+v", result)
		}
	}
	if grown := found.Policies[1].HeapBytes - found.Policies[0].HeapBytes; grown < 1<<19 || grown > 2<<20 {
		t.Errorf("a MiB more of data takes %d bytes more", grown)
	}
}

// What would measure something else ends it.
func TestNothingElseIsMeasured(t *testing.T) {
	good := bundleOf(t, `{"alice": "ALLOWED"}`)
	asked := `{"input": {"who": "alice"}, "reason": "ALLOWED"}`
	options := Options{Rounds: 1, Decisions: 1}
	for name, c := range map[string]struct {
		options       Options
		bundle, asked string
		wants         string
	}{
		"another reason": {options, good, `{"input": {"who": "alice"}, "reason": "NO"}`, "instead of"},
		"no decision":    {options, good, `{"input": {"who": "bob"}, "reason": "ALLOWED"}`, "undefined"},
		"no question":    {options, good, "", "no question"},
		"no JSON":        {options, good, "x", "invalid character"},
		"no input":       {options, good, `{"reason": "ALLOWED"}`, "EOF"},
		"no bundle":      {options, filepath.Join(t.TempDir(), "x"), asked, "no such file"},
		"no rules":       {options, packed(t, map[string]string{".manifest": `{"roots": ["paymesh"]}`}), asked, "no policy"},
		"no rounds":      {Options{Rounds: 0, Decisions: 1}, good, asked, "measure nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			arguments := []string{c.bundle, written(t, "asked", c.asked)}
			err := Run(context.Background(), &bytes.Buffer{}, c.options, arguments)
			if err == nil || !strings.Contains(err.Error(), c.wants) {
				t.Errorf("got %v, want %q", err, c.wants)
			}
		})
	}
}
