package ship

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// rotated files have the log's name and this behind it (decisionlog's rotate).
var rotated = regexp.MustCompile(`^\.\d{8}T\d{6}(?:\.\d{1,9})?Z$`)

// age orders the names of rotated files, the oldest first; empty for another name. A
// fraction of a second may be shorter than others, or left out.
func age(base, name string) string {
	suffix, isOfLog := strings.CutPrefix(name, base)
	if !isOfLog || !rotated.MatchString(suffix) {
		return ""
	}
	at, err := time.Parse(".20060102T150405Z", suffix)
	if err != nil {
		return ""
	}
	return at.Format("20060102T150405.000000000 ") + name
}

// rotatedSince are the paths of the log's rotated files after the one of that name,
// the oldest first.
func rotatedSince(name, log string, entries []os.DirEntry) []string {
	directory, base := filepath.Split(log)
	after := age(base, name)
	var ages []string
	for _, entry := range entries {
		if age := age(base, entry.Name()); age > after {
			ages = append(ages, age)
		}
	}
	slices.Sort(ages)
	var paths []string
	for _, age := range ages {
		_, name, _ := strings.Cut(age, " ")
		paths = append(paths, filepath.Join(directory, name))
	}
	return paths
}
