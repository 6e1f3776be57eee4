package ship

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// line is a record with a number for an id.
func line(n int) string {
	return fmt.Sprintf(`{"decision_id":"%d","time":"2026-11-21T12:00:00.123456789Z","caller":"gateway","rpc":"/a.B/C",`+
		`"input":null,"allowed":%t,"reason":"R","revision":"r"}`+"\n", n, n%2 == 0)
}

// logFile is a decision log that a test writes.
type logFile struct {
	t    testing.TB
	path string
	n    int // the last record's number
}

func newLog(t testing.TB) *logFile {
	return &logFile{t: t, path: filepath.Join(t.TempDir(), "decisions.jsonl")}
}

func (l *logFile) write(text string) {
	l.t.Helper()
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		l.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *logFile) records(count int) {
	for range count {
		l.n++
		l.write(line(l.n))
	}
}

func (l *logFile) rotate(second int) string {
	l.t.Helper()
	name := fmt.Sprintf("%s.20261121T1200%02d.000000000Z", l.path, second)
	if err := os.Rename(l.path, name); err != nil {
		l.t.Fatal(err)
	}
	return name
}

func (l *logFile) tail(from cursor) *tail {
	return &tail{path: l.path, cursor: from, maxBytes: 4096}
}

// drain reads to the end, and twice more.
func drain(t testing.TB, from *tail) string {
	t.Helper()
	var ids []string
	for idle := 0; idle < 3; {
		found, err := from.read(3)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found.records {
			ids = append(ids, r.DecisionID)
		}
		inode := from.cursor.Inode
		if found.bytes > 0 {
			from.advance(found)
		}
		if found.bytes == 0 && inode == from.cursor.Inode {
			idle++
		} else {
			idle = 0
		}
	}
	return strings.Join(ids, " ")
}

// All files are read in the order that they were written in, also when the log is
// rotated while it is read, and from where another reader was.
func TestTailFollowsRotations(t *testing.T) {
	l := newLog(t)
	l.records(4)
	l.rotate(1)
	l.records(2)
	l.rotate(2)
	l.records(1)
	reader := l.tail(cursor{})
	if got := drain(t, reader); got != "1 2 3 4 5 6 7" {
		t.Errorf("got %s", got)
	}
	l.records(1)
	l.rotate(3)
	if found, err := reader.read(1); err != nil || len(found.records) != 1 {
		t.Errorf("got %+v, %v", found, err) // 8, not taken
	}
	l.records(1)
	again := l.tail(reader.cursor)
	if got := drain(t, again); got != "8 9" {
		t.Errorf("after a restart: %s", got)
	}
	if got := drain(t, reader); got != "8 9" || again.cursor != reader.cursor {
		t.Errorf("got %s", got)
	}
	if reader.behind() != 0 || reader.passed != (passed{}) {
		t.Errorf("%d bytes behind, %+v", reader.behind(), reader.passed)
	}
	l.records(1)
	l.rotate(4)
	l.records(1)
	if got, want := reader.behind(), int64(len(line(10))+len(line(11))); got != want {
		t.Errorf("%d bytes behind, not %d", got, want)
	}
}

// The writer may be about to write when its file is moved: what comes just after
// that is read before the next file is.
func TestTailLooksTwiceBeforeItLeaves(t *testing.T) {
	l := newLog(t)
	l.records(1)
	reader := l.tail(cursor{})
	if found, err := reader.read(9); err != nil || len(found.records) != 1 {
		t.Fatal(found, err)
	} else {
		reader.advance(found)
	}
	late := l.rotate(1)
	l.write(line(3))
	if found, err := reader.read(9); err != nil || found.bytes != 0 {
		t.Fatal(found, err)
	}
	if err := os.WriteFile(late, []byte(line(1)+line(2)), 0o600); err != nil { // the same inode
		t.Fatal(err)
	}
	if got := drain(t, reader); got != "2 3" {
		t.Errorf("got %s", got)
	}
}

// A line that a killed process cut is passed over and counted, wherever it stands; one
// that is being written is waited for.
func TestTailPassesOverCutLines(t *testing.T) {
	l := newLog(t)
	l.records(1)
	l.write(`{"decision_id":"cut","ti` + "\n\n[]\n{}\n")
	l.records(1)
	l.write(line(3)[:20])
	reader := l.tail(cursor{})
	if got := drain(t, reader); got != "1 2" || reader.passed.cut != 3 {
		t.Errorf("got %s, %+v", got, reader.passed)
	}
	l.write(line(3)[20:])
	if got := drain(t, reader); got != "3" {
		t.Errorf("got %s", got)
	}
	l.write(line(4)[:20])
	l.rotate(1)
	l.write(line(5))
	if got := drain(t, reader); got != "5" || reader.passed != (passed{cut: 4}) {
		t.Errorf("got %s, %+v", got, reader.passed)
	}
}

// A line that is longer than any record does not fill the memory, nor hold up what
// comes after it; one that is only longer than a batch is shipped.
func TestTailPassesOverEndlessLines(t *testing.T) {
	l := newLog(t)
	l.write(strings.Repeat("x", 2*longestLine+5) + "\n")
	l.records(1)
	l.write(strings.Replace(line(2), "null", `"`+strings.Repeat("y", 10_000)+`"`, 1))
	l.n++
	l.records(1)
	reader := l.tail(cursor{})
	if got := drain(t, reader); got != "1 2 3" || reader.passed.cut != 1 {
		t.Errorf("got %s, %+v", got, reader.passed)
	}
}

// A cursor whose file is gone, or was cut off, or whose inode is another file's now,
// goes on with what there is, and says that something is missing.
func TestTailGoesOnAfterALoss(t *testing.T) {
	l := newLog(t)
	l.records(3)
	reader := l.tail(cursor{})
	drain(t, reader)
	before := reader.cursor
	l.records(1)
	name := l.rotate(1)
	l.records(1)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	again := l.tail(before)
	if got := drain(t, again); got != "5" || again.passed.gone != 1 {
		t.Errorf("gone: got %s, %+v", got, again.passed)
	}
	if got := drain(t, reader); got != "4 5" || reader.passed.gone != 0 { // still had it open
		t.Errorf("open: got %s, %+v", got, reader.passed)
	}
	if err := os.Truncate(l.path, 0); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, reader); got != "" || reader.passed.gone != 1 {
		t.Errorf("cut off: got %s, %+v", got, reader.passed)
	}
	l.records(3)
	other := l.tail(cursor{Inode: reader.cursor.Inode, Offset: 10, Head: "of another file"})
	if got := drain(t, other); got != "6 7 8" || other.passed.gone != 1 {
		t.Errorf("another's inode: got %s, %+v", got, other.passed)
	}
}

// A log that nobody has begun yet is no error.
func TestTailOfNothing(t *testing.T) {
	l := newLog(t)
	reader := l.tail(cursor{})
	if got := drain(t, reader); got != "" {
		t.Errorf("got %s", got)
	}
	l.records(1)
	if got := drain(t, reader); got != "1" || reader.passed != (passed{}) {
		t.Errorf("got %s, %+v", got, reader.passed)
	}
}

// A cursor is read as it was written; one that cannot be read is not taken for none.
func TestCursorFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursor")
	if got, err := readCursor(path); err != nil || got != (cursor{}) {
		t.Errorf("got %+v, %v", got, err)
	}
	want := cursor{Inode: 1<<64 - 1, Offset: 5, Head: "h", After: "a"}
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := readCursor(path); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"", "{", `{"offset": -1}`, `{"inode": "x"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readCursor(path); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}
