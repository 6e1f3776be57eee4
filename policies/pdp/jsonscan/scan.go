// Package jsonscan finds its way in JSON (RFC 8259) without decoding it. It is for
// lines that a JSON encoder wrote: it notices what is cut off or does not nest, but
// does not look closely at numbers and at what stands in strings.
package jsonscan

import (
	"bytes"
	"encoding/json"
)

// Space is the index of the first byte at or after i that is no white space.
func Space(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// Value is the index after the value that begins at i, -1 if none does or it does not
// end.
func Value(text []byte, i int) int {
	if i < 0 || i >= len(text) {
		return -1
	}
	switch text[i] {
	case '"':
		return String(text, i)
	case '{', '[':
		return nested(text, i)
	}
	return scalar(text, i)
}

// String is the index after the string that begins at i, -1 if it does not end.
func String(text []byte, i int) int {
	for i++; ; {
		quote := bytes.IndexByte(text[i:], '"')
		if quote < 0 {
			return -1
		}
		end := i + quote
		if end == i || text[end-1] != '\\' || !escaped(text[i:end]) {
			return end + 1
		}
		i = end + 1
	}
}

// escaped says whether what follows the text is escaped by its last byte.
func escaped(text []byte) bool {
	backslashes := 0
	for i := len(text) - 1; i >= 0 && text[i] == '\\'; i-- {
		backslashes++
	}
	return backslashes%2 == 1
}

func nested(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			if i = String(text, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

func scalar(text []byte, i int) int {
	begin := i
	for i < len(text) {
		switch text[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r', '"', '{', '[', ':':
			if i == begin {
				return -1
			}
			return i
		}
		i++
	}
	if i == begin {
		return -1
	}
	return i
}

// Members calls each with every member of the object that begins at i, and returns the
// index after the object; -1 if it is none. A value that each has gone through itself
// is not gone through again: each returns the index after the value, or 0.
func Members(text []byte, i int, each func(name []byte, value int) int) int {
	if i < 0 || i >= len(text) || text[i] != '{' {
		return -1
	}
	if i = Space(text, i+1); i < len(text) && text[i] == '}' {
		return i + 1
	}
	for i >= 0 && i < len(text) && text[i] == '"' {
		end := String(text, i)
		if end < 0 {
			return -1
		}
		name := Unquoted(text[i:end])
		if i = Space(text, end); i >= len(text) || text[i] != ':' {
			return -1
		}
		i = Space(text, i+1)
		next := each(name, i)
		if next == 0 {
			next = Value(text, i)
		}
		var more bool
		if i, more = separator(text, next, '}'); !more {
			return i
		}
	}
	return -1
}

// Elements is Members for an array.
func Elements(text []byte, i int, each func(value int) int) int {
	if i < 0 || i >= len(text) || text[i] != '[' {
		return -1
	}
	if i = Space(text, i+1); i < len(text) && text[i] == ']' {
		return i + 1
	}
	for i >= 0 && i < len(text) {
		next := each(i)
		if next == 0 {
			next = Value(text, i)
		}
		var more bool
		if i, more = separator(text, next, ']'); !more {
			return i
		}
	}
	return -1
}

// separator goes over the comma or the bracket after a value.
func separator(text []byte, i int, bracket byte) (next int, more bool) {
	if i < 0 {
		return -1, false
	}
	if i = Space(text, i); i >= len(text) {
		return -1, false
	}
	switch text[i] {
	case ',':
		return Space(text, i+1), true
	case bracket:
		return i + 1, false
	}
	return -1, false
}

// Unquoted is what a string says. Without escapes, as nearly all are, it is a part of
// the text itself.
func Unquoted(quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return inner
	}
	return []byte(text)
}
