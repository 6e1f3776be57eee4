package extauthz

import "strings"

// Of a path that a record tells.
const (
	maxServiceBytes = 128
	maxMethodBytes  = 64
	// maxDigits is fewer than a card number has.
	maxDigits = 7
)

// methodIn is the path if it is /package.Service/Method, else empty: whoever calls may
// put anything into a path, and a decision is recorded also when no policy came to say
// what may be.
func methodIn(path string) string {
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if path != "/"+service+"/"+method || !named(service, maxServiceBytes) || !named(method, maxMethodBytes) {
		return ""
	}
	if strings.Contains(method, ".") || digits(path) > maxDigits {
		return ""
	}
	return path
}

func named(text string, maxBytes int) bool {
	other := func(r rune) bool {
		return r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	return text != "" && len(text) <= maxBytes && strings.IndexFunc(text, other) < 0
}

func digits(text string) int {
	count := 0
	for _, r := range text {
		if r >= '0' && r <= '9' {
			count++
		}
	}
	return count
}
