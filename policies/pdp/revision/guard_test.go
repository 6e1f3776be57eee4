package revision_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"paymesh.internal/pdp/revision"
)

const (
	older  = "1700000000000-aaaaaaaaaaaa"
	newer  = "1700000000001-bbbbbbbbbbbb"
	newer2 = "1700000000001-000000000000"
)

func open(t *testing.T, path string) *revision.Guard { return openAbove(t, path, "") }

func openAbove(t *testing.T, path, floor string) *revision.Guard {
	t.Helper()
	guard, err := revision.Open(path, floor)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// An older revision is refused after a newer one, in this process and the next.
func TestGuardRefusesOlder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revision")
	guard := open(t, path)
	for _, step := range []struct {
		revision string
		want     error
	}{{older, nil}, {older, nil}, {newer, nil}, {older, revision.ErrOlder}, {newer, nil}, {newer2, nil}, {newer, nil}} {
		if err := guard.Admit(step.revision); !errors.Is(err, step.want) {
			t.Errorf("%s: got %v, want %v", step.revision, err, step.want)
		}
	}
	again := open(t, path)
	if err := again.Admit(older); !errors.Is(err, revision.ErrOlder) || again.Highest() != newer {
		t.Errorf("after a restart: %v, highest %s", err, again.Highest())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What cannot be compared is refused.
func TestGuardRefusesOtherForms(t *testing.T) {
	guard := open(t, filepath.Join(t.TempDir(), "revision"))
	for _, text := range []string{"", "v1", "1700000000000", older + "a", "x" + older, "1700000000000-AAAAAAAAAAAA", older + "\n"} {
		if err := guard.Admit(text); !errors.Is(err, revision.ErrForm) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// A revision that cannot be remembered is not admitted.
func TestGuardNeedsItsFile(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "d")
	guard := open(t, filepath.Join(directory, "revision"))
	if err := guard.Admit(older); !errors.Is(err, os.ErrNotExist) || guard.Highest() != "" {
		t.Errorf("got %v, highest %q", err, guard.Highest())
	}
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := guard.Admit(older); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A file that holds no revision is an error and not an empty memory.
func TestOpenRefusesGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revision")
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := revision.Open(path, ""); !errors.Is(err, revision.ErrForm) {
		t.Errorf("got %v", err)
	}
}

// The floor holds from the first bundle on, as it stands at each; without its file
// there is none, and what cannot be read is not no floor.
func TestGuardKeepsToTheFloor(t *testing.T) {
	directory := t.TempDir()
	floor := filepath.Join(directory, "floor")
	guard := openAbove(t, filepath.Join(directory, "revision"), floor)
	for _, step := range []struct {
		floor    string
		revision string
		want     error
	}{
		{newer, older, revision.ErrBelowFloor},
		{newer, older, revision.ErrOlder}, // of the same kind
		{"", older, revision.ErrFloor},
		{"garbage", newer, revision.ErrFloor},
		{older + older, newer, revision.ErrFloor},
		{older + "\n", older, nil},
		{newer, older, revision.ErrBelowFloor}, // the very one that is active
		{newer, newer2, nil},
		{older, older, revision.ErrOlder}, // remembered, though the floor fell
		{older, newer, nil},
	} {
		if err := os.WriteFile(floor, []byte(step.floor), 0o600); err != nil {
			t.Fatal(err)
		}
		err := guard.Admit(step.revision)
		if !errors.Is(err, step.want) {
			t.Errorf("%s above %q: got %v, want %v", step.revision, step.floor, err, step.want)
		}
		if errors.Is(err, revision.ErrForm) {
			t.Errorf("%q: a garbled floor looks like a garbled bundle", step.floor)
		}
	}
	if err := os.Remove(floor); err != nil {
		t.Fatal(err)
	}
	if err := openAbove(t, filepath.Join(directory, "other"), floor).Admit(older); err != nil {
		t.Errorf("without a floor: %v", err)
	}
	if err := os.Mkdir(floor, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := guard.Admit(newer); !errors.Is(err, revision.ErrFloor) {
		t.Errorf("a directory: got %v", err)
	}
}
