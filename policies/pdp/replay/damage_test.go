package replay_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"paymesh.internal/pdp/replay"
)

// What is judged of a line, and whether it is named as damage, is what the other
// readers of decision logs say.
func TestLinesAreReadAsByTheReaders(t *testing.T) {
	content, err := os.ReadFile("../jsonscan/testdata/decision_log.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Record string
		Lines  []struct {
			What, Text string
			Records    []string
			Damaged    bool
		}
	}
	if err := json.Unmarshal(content, &table); err != nil {
		t.Fatal(err)
	}
	against := bundle(t, policy, `{"workloads": ["a"]}`)
	id := regexp.MustCompile(`<(\d)>`)
	for _, c := range table.Lines {
		text := id.ReplaceAllStringFunc(c.Text, func(n string) string { return strings.Replace(table.Record, "ID", n[1:2], 1) })
		log := strings.NewReader(line(nil) + text + "\n" + line(nil))
		report := run(t, replay.Options{Bundle: against, Files: []string{"-"}, Stdin: log})
		if want := 2 + len(c.Records); report.Judged != want || report.Unchanged != want {
			t.Errorf("%s: %d judged, %d unchanged, not %d", c.What, report.Judged, report.Unchanged, want)
		}
		if passedOver := len(report.Cut) + report.Records - report.Judged; (passedOver > 0) != c.Damaged {
			t.Errorf("%s: %d passed over, %+v", c.What, passedOver, report.Skipped)
		}
	}
}
