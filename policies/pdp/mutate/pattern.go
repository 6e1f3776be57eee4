package mutate

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var counted = regexp.MustCompile(`\{(\d+)(?:,(\d+))?\}`)

// pattern breaks a regular expression the ways in which one is mistaken: an anchor
// forgotten, a bound off by one, a repetition that may be empty.
func (b *breaker) pattern(at span, literal string) {
	body := literal[1 : len(literal)-1]
	widen := func(changed string) { b.add("widen pattern", at, "`"+changed+"`") }
	if rest, ok := strings.CutPrefix(body, "^"); ok {
		widen(rest)
	}
	if rest, ok := strings.CutSuffix(body, "$"); ok {
		widen(rest)
	}
	for i := range body {
		if body[i] == '+' && i > 0 && (body[i-1] == ']' || body[i-1] == ')') {
			widen(body[:i] + "*" + body[i+1:])
		}
	}
	for _, found := range counted.FindAllStringSubmatchIndex(body, -1) {
		for group := 2; group < len(found); group += 2 {
			start, end := found[group], found[group+1]
			if start < 0 {
				continue
			}
			n, err := strconv.Atoi(body[start:end])
			if err != nil {
				continue
			}
			widen(fmt.Sprint(body[:start], n+1, body[end:]))
			if n > 0 {
				widen(fmt.Sprint(body[:start], n-1, body[end:]))
			}
		}
	}
}
