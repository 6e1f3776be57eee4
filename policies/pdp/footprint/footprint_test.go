package footprint

import (
	"strings"
	"testing"
)

// Only the program's own mappings that nothing was written to are dropped.
func TestReadOnly(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-0159f000 r-xp 00000000 fe:00 99 /bin/pdp": true,
		"0159f000-02ea9000 r--p 0119f000 fe:00 99 /bin/pdp": true,
		"02ea9000-03100000 rw-p 02aa9000 fe:00 99 /bin/pdp": false,
		"00400000-0159f000 r-xp 00000000 fe:00 99 /lib/c":   false,
		"c000000000-c000400000 rw-p 00000000 00:00 0":       false,
		"7ffd1000-7ffd2000 r-xp 00000000 00:00 0 [vdso]":    false,
		"zz-yy r-xp 00000000 fe:00 99 /bin/pdp":             false,
		"":                                                  false,
	} {
		begin, size, ok := readOnly(line, "/bin/pdp")
		if ok != want || (ok && (begin == 0 || size == 0)) {
			t.Errorf("%q: %x, %x, %v", line, begin, size, ok)
		}
	}
}

// The program runs on after its pages were dropped, with all its variables.
func TestTrim(t *testing.T) {
	before := strings.Join([]string{"still", "here"}, " ")
	Trim()
	if after := strings.Join([]string{"still", "here"}, " "); after != before || len(schedule) == 0 {
		t.Errorf("got %q", after)
	}
}
