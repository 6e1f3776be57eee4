// Package footprint gives back memory that only the start of the process needed.
// A mesh has one policy decision point beside every service, so what each of them
// holds for nothing counts as often.
package footprint

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// gcPercent: the live heap is about 7 MB; half as much garbage on top of it costs
// little time. GOGC in the environment wins.
const gcPercent = 50

// busyPercent is for the short while in which a bundle is activated: that makes more
// garbage than gcPercent leaves room for, and everybody waits for it. GOMEMLIMIT holds.
const (
	busyPercent  = 200
	busyDuration = 500 * time.Millisecond
)

// schedule is when to trim, after the start: once the first bundle is compiled,
// and again for one that came late.
var schedule = []time.Duration{5 * time.Second, time.Minute}

// calm goes back to gcPercent; nil if GOGC says what to do.
var calm *time.Timer

// Manage sets the collector and trims in the background.
func Manage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		calm = time.AfterFunc(0, func() { debug.SetGCPercent(gcPercent) })
	}
	for _, delay := range schedule {
		time.AfterFunc(delay, Trim)
	}
}

// Busy puts collections off for a short while, from now on.
func Busy() {
	if calm != nil {
		debug.SetGCPercent(busyPercent)
		calm.Reset(busyDuration)
	}
}

// Trim returns free heap to the system and drops the program's own pages from the
// resident set. OPA's dependencies initialise much that is never used again, and
// the kernel maps 64 KiB around each page touched; what is used comes back from
// the page cache by a minor fault.
func Trim() {
	debug.FreeOSMemory()
	executable, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return // no /proc: nothing to gain, nothing lost
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if begin, size, ok := readOnly(lines.Text(), executable); ok {
			// A failure leaves things as they were.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, size, unix.MADV_DONTNEED)
		}
	}
}

// readOnly recognises a mapping of the program that nothing was written to: of a
// writable one, dropping the pages would lose the program's variables.
func readOnly(line, executable string) (begin, size uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[5] != executable || (fields[1] != "r--p" && fields[1] != "r-xp") {
		return 0, 0, false
	}
	var end uintptr
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &begin, &end); err != nil || end <= begin {
		return 0, 0, false
	}
	return begin, end - begin, true
}
