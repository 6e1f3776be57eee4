package mutate

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/cmd"
)

const (
	adults = `package paymesh.authz

default decision := {"allowed": false, "reason": "TOO_YOUNG"}

decision := {"allowed": true, "reason": "ALLOWED"} if input.age >= data.paymesh.grants.age
`
	adultsTest = `package paymesh.authz_test

import data.paymesh.authz

test_young if {
	decision := authz.decision with input as {"age": 17}
	decision == {"allowed": false, "reason": "TOO_YOUNG"}
}
`
	boundaryTest = `
test_just_old_enough if {
	decision := authz.decision with input as {"age": 18}
	decision == {"allowed": true, "reason": "ALLOWED"}
}
`
	tableOfAdults = `{"environment": {}, "time": "2026-01-01T00:00:00Z", "cases": [
		{"name": "old", "edge": "a b", "input": {"age": 18}, "expected": "ALLOWED"},
		{"name": "young", "edge": "a b", "input": {"age": 17}, "expected": "TOO_YOUNG"}]}`
	grantMutants = `[
		{"file": "data.yaml", "line": 1, "rule": "age", "operator": "raise", "old": "18", "new": "19", "grants": {"age": 19}},
		{"file": "data.yaml", "line": 1, "rule": "age", "operator": "drop", "old": "18", "new": "", "grants": {}, "refused": "age is missing"},
		{"file": "data.yaml", "line": 1, "rule": "other", "operator": "add", "old": "", "new": "1", "grants": {"age": 18, "other": 1}}]`
)

// scene is a directory of policies, and what stands beside it.
func scene(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	files["policies/paymesh/grants/data.yaml"] = "age: 18\n"
	files["policies/system/none.rego"] = "package system.none\n"
	for name, text := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(directory)
	return directory
}

// mutate runs the command and answers its exit code, its report and what it complained of.
func mutate(t *testing.T, arguments ...string) (int, Report, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := Command()
	command.SetArgs(append([]string{"policies", "-o", "json"}, arguments...))
	command.SetOut(&stdout)
	command.SetErr(&stderr)
	err := command.Execute()
	var report Report
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
	}
	var exit *cmd.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.Exit, report, stderr.String()
	case err != nil:
		t.Fatal(err)
	}
	return 0, report, stderr.String()
}

func survivors(report Report) (lines []string) {
	for _, verdict := range report.Verdicts {
		if verdict.Outcome == Survived {
			lines = append(lines, verdict.New)
		}
	}
	return lines
}

func TestAMissingTestIsASurvivor(t *testing.T) {
	files := map[string]string{
		"policies/paymesh/authz/a.rego":      adults,
		"policies/paymesh/authz/a_test.rego": adultsTest,
	}
	scene(t, files)
	code, weak, _ := mutate(t)
	if code != 1 || weak.Survived == 0 || weak.KillPercent >= 95 {
		t.Errorf("exit code %d, %d survived, %.1f %%", code, weak.Survived, weak.KillPercent)
	}
	if boundary := "if input.age > data.paymesh.grants.age"; !strings.Contains(strings.Join(survivors(weak), "\n"), boundary) {
		t.Errorf("no %q in %q", boundary, survivors(weak))
	}

	files["policies/paymesh/authz/a_test.rego"] = adultsTest + boundaryTest
	scene(t, files)
	code, strong, _ := mutate(t)
	if code != 0 || strong.Survived != 0 || strong.Killed != weak.Killed+weak.Survived {
		t.Errorf("exit code %d, %d survived, %d killed: %q", code, strong.Survived, strong.Killed, survivors(strong))
	}
}

func TestTheTableKillsToo(t *testing.T) {
	scene(t, map[string]string{"policies/paymesh/authz/a.rego": adults, "table.json": tableOfAdults})
	code, report, _ := mutate(t, "--table", "table.json")
	if code != 0 || report.Survived != 0 || report.Killed == 0 {
		t.Errorf("exit code %d, %d killed, survivors %q", code, report.Killed, survivors(report))
	}
}

func TestMutantsOfTheGrantsAreDecidedAndRefused(t *testing.T) {
	scene(t, map[string]string{"policies/paymesh/authz/a.rego": adults, "table.json": tableOfAdults, "grants.json": grantMutants})
	_, report, _ := mutate(t, "--table", "table.json", "--grants", "grants.json", "--file", "data.yaml")
	var got []string
	for _, verdict := range report.Verdicts {
		got = append(got, string(verdict.Outcome)+" "+verdict.By)
	}
	want := "killed table: old, killed publishing: age is missing, survived "
	if strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
}

func TestAnEquivalentMutantNeedsAReasonAndToExistAndToSurvive(t *testing.T) {
	entry := func(old, new, why string) string {
		return "equivalent:\n  - {file: data.yaml, rule: other, old: '" + old + "', new: '" + new + "', why: '" + why + "'}\n"
	}
	for name, example := range map[string]struct {
		list      string
		code      int
		complaint string
	}{
		"good":       {entry("", "1", "it changes nothing"), 0, ""},
		"no reason":  {entry("", "1", ""), 2, "say why"},
		"not there":  {entry("", "2", "it changes nothing"), 1, "there is no such mutant"},
		"no list":    {"equivalent: 7", 2, "equivalent.yaml"},
		"killed":     {strings.Replace(entry("18", "19", "it changes nothing"), "other", "age", 1), 1, "but killed"},
		"empty list": {"equivalent: []", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, map[string]string{
				"policies/paymesh/authz/a.rego": adults, "table.json": tableOfAdults,
				"grants.json": grantMutants, "equivalent.yaml": example.list,
			})
			code, report, stderr := mutate(t, "--table", "table.json", "--grants", "grants.json", "--equivalent", "equivalent.yaml", "--gate", "90")
			if complaint := strings.Join(report.Problems, "\n") + stderr; code != example.code || !strings.Contains(complaint, example.complaint) {
				t.Errorf("exit code %d, complaint %q", code, complaint)
			}
			if name == "good" && (report.Equivalent != 1 || report.Survived != 0) {
				t.Errorf("%d equivalent, %d survived", report.Equivalent, report.Survived)
			}
		})
	}
}

func TestTestsThatFailWithoutAMutantAreAnError(t *testing.T) {
	scene(t, map[string]string{
		"policies/paymesh/authz/a.rego":      adults,
		"policies/paymesh/authz/a_test.rego": "package paymesh.authz_test\n\ntest_a if 1 == 2\n",
	})
	code, _, stderr := mutate(t)
	if code != 2 || !strings.Contains(stderr, "test_a fails without any mutant") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestWhatDoesNotCompileProvesNothing(t *testing.T) {
	scene(t, map[string]string{
		"policies/paymesh/authz/a.rego":      "package paymesh.authz\n\na := x if {\n\t[x, _] = input.b\n\tx > 1\n}\n",
		"policies/paymesh/authz/a_test.rego": "package paymesh.authz_test\n\nimport data.paymesh.authz\n\ntest_a if authz.a == 2 with input as {\"b\": [2, 3]}\n",
	})
	_, report, _ := mutate(t)
	if report.Invalid == 0 || report.Killed+report.Survived+report.Invalid != report.Mutants {
		t.Errorf("%+v", report)
	}
}

func TestOneMutantByItsNumber(t *testing.T) {
	scene(t, map[string]string{"policies/paymesh/authz/a.rego": adults, "table.json": tableOfAdults})
	_, all, _ := mutate(t, "--table", "table.json")
	_, one, _ := mutate(t, "--table", "table.json", "--mutant", "3")
	if len(one.Verdicts) != 1 || one.Verdicts[0].Number != 3 || one.Verdicts[0].New != all.Verdicts[2].New {
		t.Errorf("got %+v, want %+v", one.Verdicts, all.Verdicts[2])
	}
	if code, _, stderr := mutate(t, "--mutant", "100000"); code != 2 || !strings.Contains(stderr, "no such mutant") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// A package that nobody refers to is not compiled with a mutant, one that is is.
func TestTestsOfOtherPackagesNoticeWhatTheySee(t *testing.T) {
	scene(t, map[string]string{
		"policies/paymesh/a/a.rego":      "package paymesh.a\n\na := 1\n",
		"policies/paymesh/b/b.rego":      "package paymesh.b\n\nb := data.paymesh.a.a\n",
		"policies/paymesh/c/b_test.rego": "package paymesh.c_test\n\ntest_b if data.paymesh.b.b == 1\n",
		"policies/paymesh/d/d_test.rego": "package paymesh.d_test\n\ntest_d if 1 == 1\n",
	})
	policies, err := Load("policies")
	if err != nil {
		t.Fatal(err)
	}
	see, _ := policies.packages.around("policies/paymesh/a/a.rego")
	if !see["policies/paymesh/c/b_test.rego"] || see["policies/paymesh/d/d_test.rego"] {
		t.Errorf("seen by %v", see)
	}
	if code, report, _ := mutate(t); code != 0 || report.Survived != 0 {
		t.Errorf("exit code %d, survivors %q", code, survivors(report))
	}
}
