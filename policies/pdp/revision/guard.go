// Package revision refuses a bundle that is older than one already seen. A
// bundle's signature proves who made it and not that it is the latest: without
// this, whoever can serve an old bundle can bring back a grant that was taken
// away.
package revision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Revision is "<unix milliseconds, 13 digits>-<12 hex digits>".
var form = regexp.MustCompile(`^[0-9]{13}-[0-9a-f]{12}$`)

const stampDigits = 13

var (
	// ErrOlder means that the bundle was made before one already activated.
	ErrOlder = errors.New("bundle revision is older than one already activated")
	// ErrForm means that a revision is not of the form that can be compared.
	ErrForm = errors.New("bundle revision is not <13 digits>-<12 hex digits>")
)

// Guard keeps the highest revision in a file, so that a restart does not forget.
type Guard struct {
	mutex   sync.Mutex
	path    string
	highest string
}

// Open reads the file, which need not exist yet. One that cannot be read as a
// revision is an error: an unreadable memory is not an empty one.
func Open(path string) (*Guard, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return &Guard{path: path}, nil
	}
	if err != nil {
		return nil, err
	}
	highest := strings.TrimSpace(string(content))
	if !form.MatchString(highest) {
		return nil, fmt.Errorf("%s: %w", path, ErrForm)
	}
	return &Guard{path: path, highest: highest}, nil
}

// Highest is the highest revision seen, empty before the first.
func (g *Guard) Highest() string {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.highest
}

// Admit returns nil if the revision may be used, and has then remembered it on
// disk. Of two revisions of the same millisecond neither is older.
func (g *Guard) Admit(revision string) error {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if !form.MatchString(revision) {
		return fmt.Errorf("%w: %.64q", ErrForm, revision)
	}
	if g.highest != "" && revision[:stampDigits] < g.highest[:stampDigits] {
		return fmt.Errorf("%w: %s, after %s", ErrOlder, revision, g.highest)
	}
	if revision == g.highest {
		return nil
	}
	if err := write(g.path, revision); err != nil {
		return fmt.Errorf("bundle revision could not be remembered: %w", err)
	}
	g.highest = revision
	return nil
}

// write replaces the file whole, so that a crash leaves the old or the new one.
func write(path, revision string) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.WriteString(revision + "\n")
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
