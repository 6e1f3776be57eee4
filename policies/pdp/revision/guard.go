// Package revision refuses a bundle that is older than one already seen. A
// bundle's signature proves who made it and not that it is the latest: without
// this, whoever can serve an old bundle can bring back a grant that was taken
// away.
package revision

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"paymesh.internal/pdp/atomicfile"
)

// Revision is "<unix milliseconds, 13 digits>-<12 hex digits>".
var form = regexp.MustCompile(`^[0-9]{13}-[0-9a-f]{12}$`)

const stampDigits = 13

var (
	// ErrOlder means that the bundle was made before one already activated.
	ErrOlder = errors.New("bundle revision is older than one already activated")
	// ErrBelowFloor means that the bundle is older than this decision point was told to accept.
	ErrBelowFloor = fmt.Errorf("%w: it is below the floor", ErrOlder)
	// ErrFloor means that there is a floor and nobody knows which.
	ErrFloor = errors.New("the floor of bundle revisions cannot be read")
	// ErrForm means that a revision is not of the form that can be compared.
	ErrForm = errors.New("bundle revision is not <13 digits>-<12 hex digits>")
)

// Guard keeps the highest revision in a file, so that a restart does not forget.
// Where the file does not outlive the process, as in a pod, a floor that somebody
// else keeps takes its place.
type Guard struct {
	mutex   sync.Mutex
	path    string
	floor   string
	highest string
}

// Open reads the file, which need not exist yet. One that cannot be read as a
// revision is an error: an unreadable memory is not an empty one. The floor is a
// file with the lowest revision that may be used, or "" for none; it is read at
// each Check, because it changes while this runs, and need not exist.
func Open(path, floor string) (*Guard, error) {
	highest, err := read(path)
	if err != nil {
		return nil, err
	}
	return &Guard{path: path, floor: floor, highest: highest}, nil
}

// read returns the revision in a file, and "" if there is no file.
func read(path string) (string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(content))
	if !form.MatchString(text) {
		return "", fmt.Errorf("%s: %w", path, ErrForm)
	}
	return text, nil
}

// Highest is the highest revision seen, empty before the first.
func (g *Guard) Highest() string {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.highest
}

// Check returns nil if the revision may be used. Of two revisions of the same
// millisecond neither is older.
func (g *Guard) Check(revision string) error {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.check(revision)
}

// Admit is Check for a revision that is now in use: it is remembered on disk.
func (g *Guard) Admit(revision string) error {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if err := g.check(revision); err != nil || revision == g.highest {
		return err
	}
	if err := atomicfile.Write(g.path, []byte(revision+"\n")); err != nil {
		return fmt.Errorf("bundle revision could not be remembered: %w", err)
	}
	g.highest = revision
	return nil
}

func (g *Guard) check(revision string) error {
	if !form.MatchString(revision) {
		return fmt.Errorf("%w: %.64q", ErrForm, revision)
	}
	if older(revision, g.highest) {
		return fmt.Errorf("%w: %s, after %s", ErrOlder, revision, g.highest)
	}
	return g.aboveFloor(revision)
}

func (g *Guard) aboveFloor(revision string) error {
	if g.floor == "" {
		return nil
	}
	floor, err := read(g.floor)
	if err != nil {
		// Its text, not its kind: a garbled floor may be mended, a garbled bundle may not.
		return fmt.Errorf("%w: %v", ErrFloor, err)
	}
	if older(revision, floor) {
		return fmt.Errorf("%w: %s, below %s of %s", ErrBelowFloor, revision, floor, g.floor)
	}
	return nil
}

// older compares the stamps alone; nothing is older than no revision.
func older(revision, than string) bool {
	return than != "" && revision[:stampDigits] < than[:stampDigits]
}
