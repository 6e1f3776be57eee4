package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

// A file is made, and replaced, with a mode that is its owner's alone.
func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, write := range []func(string, []byte) error{Write, WriteUnsynced} {
		for _, content := range []string{"longer than the next", "short"} {
			if err := write(path, []byte(content)); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != content {
				t.Errorf("got %q, %v", got, err)
			}
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

// What cannot be put in place leaves nothing behind.
func TestFailedWriteLeavesNothing(t *testing.T) {
	directory := t.TempDir()
	occupied := filepath.Join(directory, "occupied")
	if err := os.MkdirAll(filepath.Join(occupied, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(occupied, []byte("text")); err == nil {
		t.Error("a directory is replaced")
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
