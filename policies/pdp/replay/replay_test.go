package replay_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/replay"
	"paymesh.internal/pdp/symbolic"
)

func TestMain(m *testing.M) {
	candidate.Isolate()
	symbolic.Observe()
	os.Exit(m.Run())
}

const (
	policy = `package paymesh.authz

decision := {"allowed": true, "dynamic_metadata": {"reason": "ALLOWED", "grant": "g"}} if {
	input.source in data.paymesh.environment.workloads
	input.amount < 100
} else := {"allowed": false, "dynamic_metadata": {"reason": "NO"}}
`
	revision = "1790000000000-0123456789ab"
)

// bundle writes a policy and its environment.
func bundle(t *testing.T, rego, environment string) string {
	t.Helper()
	directory := t.TempDir()
	write(t, filepath.Join(directory, "policy.rego"), rego)
	write(t, filepath.Join(directory, "paymesh", "environment", "data.json"), environment)
	return directory
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

type fields map[string]any

// line is a record of the decision log, with some fields changed; nil removes one.
func line(changes fields) string {
	record := fields{
		"decision_id": "id", "time": "2026-09-21T14:13:20.5Z", "caller": "a", "user": nil, "token": nil, "rpc": "/s/M",
		"input": fields{"source": "a", "amount": 5}, "result": fields{}, "allowed": true, "reason": "ALLOWED", "grant": "g",
		"revision": revision, "policy_path": "paymesh/authz/decision", "eval_ns": 1,
	}
	for name, value := range changes {
		record[name] = value
	}
	text, _ := json.Marshal(record)
	return string(text) + "\n"
}

func run(t *testing.T, options replay.Options) *replay.Report {
	t.Helper()
	options.Examples = 2
	report, err := replay.Run(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	report.Seconds = 0
	return report
}

// Changes are grouped and told apart by what became of them, with the earliest ids.
func TestChanges(t *testing.T) {
	user := fields{"sub": "s", "roles": []string{"customer"}}
	log := line(fields{"decision_id": "same"}) +
		line(fields{"decision_id": "c", "time": "2026-09-21T14:13:23Z", "allowed": false, "reason": "NO", "grant": "", "user": user}) +
		line(fields{"decision_id": "b", "time": "2026-09-21T14:13:22Z", "allowed": false, "reason": "NO", "grant": "", "user": user}) +
		line(fields{"decision_id": "a", "time": "2026-09-21T14:13:24Z", "allowed": false, "reason": "NO", "grant": "", "user": user}) +
		line(fields{"decision_id": "d", "input": fields{"source": "a", "amount": 100}}) +
		line(fields{"decision_id": "e", "input": fields{"source": "x", "amount": 1}, "allowed": false, "reason": "OTHER", "grant": ""}) +
		line(fields{"decision_id": "f", "grant": "former"})
	report := run(t, replay.Options{Bundle: bundle(t, policy, `{"workloads": ["a"]}`), Files: []string{"-"}, Stdin: strings.NewReader(log)})
	at := func(text string) time.Time { parsed, _ := time.Parse(time.RFC3339, text); return parsed }
	second := at("2026-09-21T14:13:20.5Z")
	change := func(kind string, before, after replay.Outcome, example string) *replay.Change {
		return &replay.Change{
			Kind: kind, PolicyPath: "paymesh/authz/decision", Caller: "a", RPC: "/s/M", Roles: []string{},
			Before: before, After: after, Count: 1, First: second, Last: second, Examples: []string{example},
		}
	}
	opened := change("deny_to_allow", replay.Outcome{Reason: "NO"}, replay.Outcome{Reason: "ALLOWED", Grant: "g"}, "")
	opened.Roles, opened.Count, opened.Examples = []string{"customer"}, 3, []string{"b", "c"}
	opened.First, opened.Last = at("2026-09-21T14:13:22Z"), at("2026-09-21T14:13:24Z")
	want := []*replay.Change{
		opened,
		change("allow_to_deny", replay.Outcome{Reason: "ALLOWED", Grant: "g"}, replay.Outcome{Reason: "NO"}, "d"),
		change("reason", replay.Outcome{Reason: "OTHER"}, replay.Outcome{Reason: "NO"}, "e"),
		change("grant", replay.Outcome{Reason: "ALLOWED", Grant: "former"}, replay.Outcome{Reason: "ALLOWED", Grant: "g"}, "f"),
	}
	got, _ := json.MarshalIndent(report.Changes, "", " ")
	wanted, _ := json.MarshalIndent(want, "", " ")
	if !bytes.Equal(got, wanted) {
		t.Errorf("got %s\nwant %s", got, wanted)
	}
	if report.Records != 7 || report.Judged != 7 || report.Unchanged != 1 || report.Distinct != 3 {
		t.Errorf("got %+v", report)
	}
}

// What is not judged is counted by its reason; nothing disappears.
func TestSkipped(t *testing.T) {
	log := line(nil) +
		line(fields{"time": "2026-09-21T14:13:19Z"}) + line(fields{"time": "2026-09-21T14:13:21Z"}) +
		line(fields{"error": "timeout"}) + line(fields{"reason": "REQUEST_UNREADABLE", "error": "e"}) +
		line(fields{"reason": "DECISION_NOT_RECORDED"}) + line(fields{"input": nil, "input_omitted": "unmasked"}) +
		line(fields{"policy_path": "system/authz/allow"}) + line(fields{"time": "yesterday"}) + line(fields{"allowed": "yes"}) +
		line(fields{"input": fields{"attributes": 1, "source": nil, "amount": 1}}) +
		"[]\n" + "\n \n" + "{\"a\": 1}\n"
	report := run(t, replay.Options{
		Bundle: bundle(t, policy, `{"workloads": ["a"]}`), Files: []string{"-"}, Stdin: strings.NewReader(log),
		Since: time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC), Until: time.Date(2026, 9, 21, 14, 13, 21, 0, time.UTC),
	})
	want := map[string]int{
		"outside the time that was asked for": 2, "the policy failed": 1, "the request could not be read": 1,
		"refused because it could not be recorded": 1, "recorded without its input": 1, "no decision of a call or an object": 5,
	}
	if !reflect.DeepEqual(report.Skipped, want) || report.Records != 11 || report.Judged != 1 || report.Partial != 1 {
		t.Errorf("got %+v", report)
	}
	if !reflect.DeepEqual(report.PartialExamples, []string{"id"}) || len(report.Cut) != 0 {
		t.Errorf("got %+v", report)
	}
}

// A line that was cut off is named with its place, wherever it stands, and the others
// are read all the same; also in files that are longer than a block.
func TestCut(t *testing.T) {
	whole := line(fields{"input": fields{"source": "a", "amount": 5, "filler": strings.Repeat("x", 40_000)}})
	half := whole[:200]
	var first strings.Builder
	first.WriteString(half + "\n")
	for range 300 { // 12 MB
		first.WriteString(whole)
	}
	middle := first.Len()
	first.WriteString(half + "\n" + whole)
	directory := t.TempDir()
	files := []string{
		write(t, filepath.Join(directory, "1"), first.String()),
		write(t, filepath.Join(directory, "2"), whole+half),
		write(t, filepath.Join(directory, "3"), ""),
		write(t, filepath.Join(directory, "4"), strings.TrimSuffix(whole, "\n")),
	}
	report := run(t, replay.Options{Bundle: bundle(t, policy, `{"workloads": ["a"]}`), Files: files})
	want := []replay.Cut{
		{File: files[0], Offset: 0, Bytes: 200}, {File: files[0], Offset: int64(middle), Bytes: 200},
		{File: files[1], Offset: int64(len(whole)), Bytes: 200, IsLast: true},
	}
	if !reflect.DeepEqual(report.Cut, want) || report.Judged != 303 || report.Unchanged != 303 {
		t.Errorf("got %+v", report)
	}
}

// A record is judged in the environment of its own revision; without it in the
// candidate's, and that is counted.
func TestEnvironments(t *testing.T) {
	directory := t.TempDir()
	later, last := "1790000000001-0123456789ab", "1790000000002-0123456789ab"
	write(t, filepath.Join(directory, revision+".json"), `{"workloads": ["old"]}`)
	write(t, filepath.Join(directory, later+".tar.gz"), packed(t, "/paymesh/environment/data.json", `{"workloads": ["new"]}`))
	of := func(revision, source string) string {
		return line(fields{"decision_id": revision + source, "revision": revision, "input": fields{"source": source, "amount": 1}})
	}
	log := of(revision, "old") + of(later, "new") + of(last, "own") + of("../../etc", "own") + of(revision, "new")
	options := replay.Options{
		Bundle: bundle(t, policy, `{"workloads": ["own"]}`), Environments: directory,
		Files: []string{"-"}, Stdin: strings.NewReader(log),
	}
	report := run(t, options)
	if report.Unchanged != 4 || report.EnvironmentMissing != 2 || len(report.Changes) != 1 || report.Changes[0].Examples[0] != revision+"new" {
		t.Errorf("got %+v", report)
	}
	write(t, filepath.Join(directory, last+".json"), `{`)
	options.Stdin = strings.NewReader(log)
	if _, err := replay.Run(t.Context(), options); err == nil || !strings.Contains(err.Error(), last) {
		t.Errorf("got %v", err)
	}
}

func packed(t *testing.T, name, content string) string {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zipped)
	if err := archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	_, _ = archive.Write([]byte(content))
	if archive.Close() != nil || zipped.Close() != nil {
		t.Fatal("not packed")
	}
	return buffer.String()
}

// A policy without the decision, or with an illegal one, refuses as the decision point
// would; one that does not compile is an error.
func TestOddPolicies(t *testing.T) {
	for _, rego := range []string{
		"package other\na := 1", "package paymesh.authz\ndecision := 7",
		"package paymesh.authz\ndecision := {\"allowed\": true, \"headers\": 1}",
		"package paymesh.authz\ndecision.allowed if input.source\ndecision.allowed := false if input.amount",
	} {
		report := run(t, replay.Options{Bundle: bundle(t, rego, `{}`), Files: []string{"-"}, Stdin: strings.NewReader(line(nil))})
		if len(report.Changes) != 1 || report.Changes[0].After.Reason != "POLICY_ERROR" {
			t.Errorf("%s: %+v", rego, report)
		}
	}
	for _, rego := range []string{"package a\nb := c", "?", "package a\nb if { x := 1 }"} {
		if _, err := replay.Run(t.Context(), replay.Options{Bundle: bundle(t, rego, `{}`)}); err == nil {
			t.Errorf("%s: no error", rego)
		}
	}
}

// A file that cannot be read is an error, and so is one that ends the context.
func TestErrors(t *testing.T) {
	directory := bundle(t, policy, `{}`)
	if _, err := replay.Run(t.Context(), replay.Options{Bundle: directory, Files: []string{"/nowhere"}}); err == nil {
		t.Error("no error")
	}
	broken := io.MultiReader(strings.NewReader(line(nil)), failing{})
	if _, err := replay.Run(t.Context(), replay.Options{Bundle: directory, Files: []string{"-"}, Stdin: broken}); err == nil {
		t.Error("no error")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("the disk is gone") }

// A line without an end is passed over, whatever its length, and what comes after it is
// judged.
func TestOverlongLines(t *testing.T) {
	for _, size := range []int{2<<20 + 1, 5 << 20} {
		log := line(nil) + strings.Repeat("x", size) + "\n" + line(nil) + line(nil)
		path := write(t, filepath.Join(t.TempDir(), "log"), log)
		report := run(t, replay.Options{Bundle: bundle(t, policy, `{"workloads": ["a"]}`), Files: []string{path}})
		if report.Judged != 3 || len(report.Cut) != 1 {
			t.Errorf("%d bytes: judged %d, cut %v", size, report.Judged, report.Cut)
		}
	}
	path := write(t, filepath.Join(t.TempDir(), "log"), line(nil)+strings.Repeat("x", 5<<20))
	report := run(t, replay.Options{Bundle: bundle(t, policy, `{"workloads": ["a"]}`), Files: []string{path}})
	if report.Judged != 1 || len(report.Cut) != 1 {
		t.Errorf("without an end: judged %d, cut %v", report.Judged, report.Cut)
	}
}

// What may have been put there by somebody else is not followed, waited for or read.
func TestOnlyRegularFiles(t *testing.T) {
	directory := t.TempDir()
	target := write(t, filepath.Join(directory, "log"), line(nil))
	link, pipe := filepath.Join(directory, "link"), filepath.Join(directory, "pipe")
	if err := errors.Join(os.Symlink(target, link), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	options := replay.Options{Bundle: bundle(t, policy, `{"workloads": ["a"]}`), IsRegular: true}
	for _, path := range []string{link, pipe, directory} {
		options.Files = []string{path}
		if _, err := replay.Run(t.Context(), options); err == nil {
			t.Errorf("%s was read", path)
		}
	}
	options.Files = []string{target}
	if report := run(t, options); report.Judged != 1 {
		t.Errorf("judged %d", report.Judged)
	}
}

// A record whose token could not be looked at, or is none of ours, is not judged and
// stops nobody else's; keys that no policy has are believed up to a number.
func TestOddTokens(t *testing.T) {
	log := line(nil) + line(fields{"token": fields{"scheme": "unknown"}}) +
		line(fields{"token": fields{"scheme": "bearer", "signature": "perhaps"}})
	for i := range 100 {
		log += line(fields{"token": fields{"scheme": "bearer", "signature": "valid", "key": fmt.Sprint("key-", i)}})
	}
	path := write(t, filepath.Join(t.TempDir(), "log"), log)
	report := run(t, replay.Options{Bundle: bundle(t, policy, `{"workloads": ["a"]}`), Files: []string{path}})
	skipped := 0
	for _, count := range report.Skipped {
		skipped += count
	}
	if report.Records != 103 || report.Judged+skipped != 103 || report.Judged > 66 || len(report.Changes) != 0 {
		t.Errorf("got %+v", report)
	}
	if report.Skipped["recorded without the facts of its token"] != 1 {
		t.Errorf("skipped %v", report.Skipped)
	}
}
