package compileserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/cmd"
)

const good = "package paymesh.authz\n\nallow if input.x\n"

func request(files ...File) string {
	var head header
	var contents strings.Builder
	for _, file := range files {
		head.Files = append(head.Files, struct {
			Path  string `json:"path"`
			Bytes int    `json:"bytes"`
		}{file.Path, len(file.Content)})
		contents.Write(file.Content)
	}
	line, err := json.Marshal(head)
	if err != nil {
		panic(err)
	}
	return string(line) + "\n" + contents.String()
}

func problems(t *testing.T, requests ...string) []string {
	t.Helper()
	var out strings.Builder
	if err := Serve(strings.NewReader(strings.Join(requests, "")), &out); err != nil {
		t.Fatal(err)
	}
	var found []string
	for decoder := json.NewDecoder(strings.NewReader(out.String())); ; {
		var given answer
		if err := decoder.Decode(&given); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		found = append(found, given.Problem)
	}
}

var cases = map[string]struct {
	files []File
	wants string
}{
	"good":           {[]File{{"a.rego", []byte(good)}}, ""},
	"two packages":   {[]File{{"a.rego", []byte(good)}, {"b.rego", []byte("package b\n\nx := data.paymesh.authz.allow\n")}}, ""},
	"no file":        {nil, ""},
	"syntax":         {[]File{{"p/a.rego", []byte(good + "rule if {")}}, "p/a.rego:4: rego_parse_error"},
	"unknown name":   {[]File{{"a.rego", []byte(good + "a := b\n")}}, "rego_unsafe_var_error"},
	"unused":         {[]File{{"a.rego", []byte(good + "a if {\n\tunused := 1\n}\n")}}, "assigned var unused unused"},
	"unused import":  {[]File{{"a.rego", []byte("package a\n\nimport data.b\n\nx := 1\n")}}, "import data.b unused"},
	"old keyword":    {[]File{{"a.rego", []byte("package a\n\np { input.x }\n")}}, "`if` keyword is required"},
	"type":           {[]File{{"a.rego", []byte("package a\n\nx if 1 == \"1\"\n")}}, "rego_type_error"},
	"recursion":      {[]File{{"a.rego", []byte("package a\n\nx if y\n\ny if x\n")}}, "rego_recursion_error"},
	"annotation":     {[]File{{"a.rego", []byte("# METADATA\n# title: [\npackage a\n")}}, "yaml"},
	"no data":        {[]File{{"p/data.json", []byte("{")}}, "bundle load failed on p/data.json"},
	"rule over data": {[]File{{"a.rego", []byte("package paymesh\n\ngrants := 1\n")}, {"paymesh/grants/data.json", []byte(`{"x": 1}`)}}, "conflicting rule"},
	"rule in a data value": {
		[]File{{"a.rego", []byte("package p.x.y\n\nz := 1\n")}, {"p/data.json", []byte(`{"x": 1}`)}},
		"conflicting rule",
	},
}

// Every kind of mistake is named, and what is right is not.
func TestProblems(t *testing.T) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := problems(t, request(c.files...))
			if len(got) != 1 || (got[0] == "") != (c.wants == "") || !strings.Contains(got[0], c.wants) {
				t.Errorf("got %q, want %q", got, c.wants)
			}
		})
	}
}

// What `check --strict --bundle` of a directory takes or refuses is taken or refused
// here, with the same words.
func TestAsCheckDoes(t *testing.T) {
	if directory := os.Getenv("PAYMESH_TEST_CHECK"); directory != "" {
		root := cmd.RootCommand
		root.SetArgs([]string{"check", "--strict", "--bundle", "."})
		if err := os.Chdir(directory); err != nil {
			t.Fatal(err)
		}
		if err := root.Execute(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			for _, file := range c.files {
				path := filepath.Join(directory, file.Path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, file.Content, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			check := exec.Command(os.Args[0], "-test.run=^TestAsCheckDoes$")
			check.Env = append(os.Environ(), "PAYMESH_TEST_CHECK="+directory)
			said, err := check.CombinedOutput()
			got := problems(t, request(c.files...))[0]
			if (err == nil) != (got == "") || !strings.HasSuffix(strings.TrimSpace(string(said)), strings.TrimSpace(got)) {
				t.Errorf("check says %q (%v), this %q", said, err, got)
			}
		})
	}
}

// One policy's problem is not the next one's: the process goes on.
func TestRequestsAreApart(t *testing.T) {
	bad := File{"a.rego", []byte("package a\n\n}")}
	got := problems(t, request(bad), request(File{"a.rego", []byte(good)}), request(bad))
	if len(got) != 3 || got[0] == "" || got[1] != "" || got[2] != got[0] {
		t.Errorf("got %q", got)
	}
}

// After an edit of data alone the answer is what it would be without the memory of
// the rules: whatever was compiled before.
func TestDataAfterRules(t *testing.T) {
	rules := File{"a.rego", []byte("package paymesh\n\ngrants := 1\n\nx.y := 2\n")}
	data := func(text string) File { return File{"paymesh/data.json", []byte(text)} }
	requests := []struct {
		files []File
		wants string
	}{
		{[]File{rules}, ""},
		{[]File{rules, data(`{"other": 1}`)}, ""},
		{[]File{rules, data(`{"grants": 1}`)}, "conflicting rule"},
		{[]File{rules, data(`{"x": 1}`)}, "conflicting rule"},
		{[]File{rules, data(`{"x": {"z": 1}}`)}, ""},
		{[]File{rules, data("{")}, "bundle load failed"},
		{[]File{rules, {"paymesh/other/data.json", []byte("1")}, data(`{"other": 2}`)}, "failed"},
		{[]File{rules}, ""},
		{[]File{rules, {"b.rego", []byte("package b\n\ny := z\n")}, data(`{}`)}, "rego_unsafe_var_error"},
		{[]File{rules, data(`{"grants": 1}`)}, "conflicting rule"},
		{[]File{{"moved.rego", rules.Content}}, ""},
		{nil, ""},
	}
	var all []string
	for _, one := range requests {
		all = append(all, request(one.files...))
	}
	for i, got := range problems(t, all...) {
		alone := problems(t, all[i])[0]
		if got != alone || (got == "") != (requests[i].wants == "") || !strings.Contains(got, requests[i].wants) {
			t.Errorf("%d: after the others %q, alone %q, want %q", i, got, alone, requests[i].wants)
		}
	}
}

// What is no request ends the process: it cannot be told where the next one begins.
func TestIllegalRequests(t *testing.T) {
	for _, text := range []string{
		"{}", // no end of the line
		"x\n",
		`{"files": [{"path": "a.rego", "bytes": 10}]}` + "\nshort",
		`{"files": [{"path": "", "bytes": 0}]}` + "\n",
		`{"files": [{"path": "a", "bytes": -1}]}` + "\n",
		fmt.Sprintf(`{"files": [{"path": "a", "bytes": %d}]}`, maxFileBytes+1) + "\n",
		strings.Repeat("x", maxHeaderBytes+1),
	} {
		if err := Serve(strings.NewReader(text), io.Discard); err == nil {
			t.Errorf("%.60q is taken", text)
		}
	}
}
