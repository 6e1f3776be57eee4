package ship

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// damage is the table that everybody who reads decision logs has to agree with.
type damage struct {
	Record string
	Lines  []struct {
		What, Text string
		Records    []string
		Damaged    bool
	}
	OldestFirst []string `json:"oldest_first"`
	NotRotated  []string `json:"not_rotated"`
}

func readDamage(t *testing.T) damage {
	t.Helper()
	content, err := os.ReadFile("../jsonscan/testdata/decision_log.json")
	if err != nil {
		t.Fatal(err)
	}
	var table damage
	if err := json.Unmarshal(content, &table); err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`<(\d)>`)
	for i := range table.Lines {
		line := &table.Lines[i]
		line.Text = id.ReplaceAllStringFunc(line.Text, func(n string) string { return strings.Replace(table.Record, "ID", n[1:2], 1) })
	}
	return table
}

// What is shipped of a line, and whether it is counted as damage, is what the other
// readers say.
func TestTailReadsWhatTheReadersRead(t *testing.T) {
	for _, c := range readDamage(t).Lines {
		l := newLog(t)
		l.write(line(8) + c.Text + "\n" + line(9))
		reader := l.tail(cursor{})
		want := strings.Join(slices.Concat([]string{"8"}, c.Records, []string{"9"}), " ")
		if got := drain(t, reader); got != want || (reader.passed.cut == 1) != c.Damaged {
			t.Errorf("%s: got %s, %+v", c.What, got, reader.passed)
		}
	}
}

// A record whose other fields are of a kind that nobody expected is one.
func TestTailShipsOddRecords(t *testing.T) {
	l := newLog(t)
	l.write(strings.Replace(line(1), `"caller":"gateway"`, `"caller":["x"]`, 1))
	if got := drain(t, l.tail(cursor{})); got != "1" {
		t.Errorf("got %s", got)
	}
}

// Files are read in the order of their times, whatever the form of these, and a file of
// another name is none of the log's.
func TestTailTakesTheNamesThatTheReadersTake(t *testing.T) {
	table := readDamage(t)
	l := newLog(t)
	directory := filepath.Dir(l.path)
	var want []string
	for _, name := range table.OldestFirst {
		want = append(want, filepath.Join(directory, name))
	}
	for _, name := range slices.Concat(table.NotRotated, table.OldestFirst) {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, after := range append([]string{""}, table.OldestFirst...) {
		got, err := l.tail(cursor{After: after}).names()
		if err != nil || !slices.Equal(got, append(slices.Clone(want[i:]), l.path)) {
			t.Errorf("after %q: got %v, %v", after, got, err)
		}
	}
}
