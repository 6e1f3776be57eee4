package decisionlog

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/logging"
)

func openFile(t *testing.T, path string) *file {
	t.Helper()
	f := &file{path: path, logger: logging.NewNoOpLogger(), now: time.Now}
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.close() })
	return f
}

func content(t *testing.T, path string) string {
	t.Helper()
	bytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes)
}

// A log is appended to, readable by its owner only, whatever mode it had.
func TestFileAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, path)
	if n, err := f.append([]byte("new\n")); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := content(t, path); got != "old\nnew\n" {
		t.Errorf("got %q", got)
	}
}

// A record that a killed process left half-written does not run into the next.
func TestFileEndsCutRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("whole\n{\"cu"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, path)
	for range 2 {
		if _, err := f.append([]byte("next\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := content(t, path); got != "whole\n{\"cu\nnext\nnext\n" {
		t.Errorf("got %q", got)
	}
}

// A full disk is an error, and not a record.
func TestFileFullDisk(t *testing.T) {
	f := openFile(t, "/dev/full")
	if n, err := f.append([]byte("x\n")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %d, %v", n, err)
	}
}

// A log that was renamed or removed is begun anew: a record in a file without a
// name would be lost.
func TestFileFollowsItsPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := openFile(t, path)
	for _, take := range []func() error{
		func() error { return os.Rename(path, path+".1") },
		func() error { return os.Remove(path) },
	} {
		if _, err := f.append([]byte("before\n")); err != nil {
			t.Fatal(err)
		}
		if err := take(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.append([]byte("after\n")); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != "after\n" {
			t.Errorf("got %q", got)
		}
	}
	if got := content(t, path+".1"); got != "before\n" {
		t.Errorf("renamed: got %q", got)
	}
}

// A directory that is gone is an error until it is back.
func TestFileDirectoryGone(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "log")
	f := openFile(t, path)
	if err := os.RemoveAll(directory); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := f.append([]byte("x\n")); n != 0 || err == nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := f.append([]byte("x\n")); err != nil || content(t, path) != "x\n" {
		t.Errorf("got %v", err)
	}
}

// A full file gets a name with the time in it; no record is lost or cut by it.
func TestFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := openFile(t, path)
	f.maxBytes = 4
	f.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := f.append([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if got := content(t, path); got != "two\n" {
		t.Errorf("got %q", got)
	}
	if got := content(t, path+".20260102T030405.000000000Z"); got != "one\n" {
		t.Errorf("rotated: got %q", got)
	}
}

// A link in the log's place is refused: it could point anywhere.
func TestFileRefusesLink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.Symlink("/dev/null", path); err != nil {
		t.Fatal(err)
	}
	f := &file{path: path, logger: logging.NewNoOpLogger()}
	if err := f.open(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

// fsync: the data is on the disk before the record counts as written.
func TestFileSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := openFile(t, path)
	f.sync = true
	if n, err := f.append([]byte("x\n")); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// The standard output takes records whole, is neither rotated nor closed, and ends a
// record that did not fit.
func TestStandardOutput(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(before *os.File) { os.Stdout = before }(os.Stdout)
	os.Stdout = writer
	f := openFile(t, standardOutput)
	for _, lines := range []string{"one\n", "two\n"} {
		if n, err := f.append([]byte(lines)); n != len(lines) || err != nil {
			t.Fatal(n, err)
		}
		if err := f.close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(reader)
	if err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if n, err := f.append([]byte("three\n")); n != 0 || err == nil {
		t.Errorf("a closed output takes %d bytes", n)
	}
}
