package decisionlog

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// appendValue writes a term as JSON, and null for what the mask erases. Erasing
// while writing needs no copy, and cannot touch a document that is still in use.
func appendValue(line []byte, value ast.Value, mask *pointers) []byte {
	switch value := value.(type) {
	case nil, ast.Null:
		return append(line, "null"...)
	case ast.Boolean:
		return strconv.AppendBool(line, bool(value))
	case ast.Number:
		return append(line, value...)
	case ast.String:
		return appendString(line, string(value))
	case ast.Object:
		return appendObject(line, value, mask)
	case *ast.Array:
		line = append(line, '[')
		for i := range value.Len() {
			line = appendElement(line, strconv.Itoa(i), value.Elem(i), mask)
		}
		return closeWith(line, ']')
	case ast.Set:
		line = append(line, '[')
		for i, element := range value.Slice() {
			line = appendElement(line, strconv.Itoa(i), element, mask)
		}
		return closeWith(line, ']')
	}
	return appendString(line, fmt.Sprintf("<%s>", ast.ValueName(value)))
}

// An element that is left out leaves a null, too: the others keep their index.
func appendElement(line []byte, index string, element *ast.Term, mask *pointers) []byte {
	below, is := mask.step(index)
	if is != recorded {
		line = append(line, "null"...)
	} else {
		line = appendValue(line, element.Value, below)
	}
	return append(line, ',')
}

func appendObject(line []byte, object ast.Object, mask *pointers) []byte {
	line = append(line, '{')
	object.Foreach(func(key, value *ast.Term) {
		name, ok := key.Value.(ast.String)
		if !ok {
			name = ast.String(key.Value.String())
		}
		below, is := mask.step(string(name))
		if is == leftOut {
			return
		}
		line = appendString(line, string(name))
		line = append(line, ':')
		if is == erased {
			line = append(line, "null"...)
		} else {
			line = appendValue(line, value.Value, below)
		}
		line = append(line, ',')
	})
	return closeWith(line, '}')
}

// closeWith puts the bracket in the place of the last comma.
func closeWith(line []byte, bracket byte) []byte {
	if last := len(line) - 1; line[last] == ',' {
		line[last] = bracket
		return line
	}
	return append(line, bracket)
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string on one line. What is not UTF-8 becomes
// U+FFFD, so that a record is always valid JSON.
func appendString(line []byte, text string) []byte {
	line = append(line, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(text[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			line = append(append(line, text[start:i]...), `\ufffd`...)
		} else if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		} else if c == '"' || c == '\\' {
			line = append(append(line, text[start:i]...), '\\', c)
		} else {
			line = append(append(line, text[start:i]...), '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		i++
		start = i
	}
	return append(append(line, text[start:]...), '"')
}
