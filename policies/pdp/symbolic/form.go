// Package symbolic answers many questions by few evaluations.
//
// Of most values in its input a policy learns only what builtins say about them: that
// an amount is under a limit, that a name matches a pattern, that a token has not
// ended. Here such values are taken out of a question and symbols put in their places.
// What is left is its form, and there are few forms. The first question of a form is
// evaluated with the symbols, and what the policy asked about them is noted with the
// answers that it got. That is a path in a tree of tests, and the policy's decision
// stands at its end. The next question of the same form goes down the tree: if its own
// values pass the same tests, the evaluation would go the same way, and the decision is
// the same.
package symbolic

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"

	"paymesh.internal/pdp/jsonscan"
	"paymesh.internal/pdp/reads"
)

// Form is a question without what the policy only tests. It may be filled again.
type Form struct {
	// Key is JSON: the token's facts, or null, and the input, with symbols.
	Key []byte
	// token and input are where in the key they begin.
	token, input int
	// symbols in the order of their numbers; the first is the time.
	symbols []symbol
	// Partial says that the policy reads whole what the record does not hold.
	Partial bool
	nonce   string
	// erasable: a null in this input stands for something that was left out.
	erasable bool
	// unreadable and authorization are where a null says something of its own.
	unreadable, authorization *reads.Place
	strange                   bool
}

type symbol struct {
	kind byte
	raw  []byte // JSON
}

// Kinds of symbols. Derived ones are results of builtins, made while evaluating.
const (
	stringSymbol  = 'S'
	numberSymbol  = 'N'
	erasedSymbol  = 'E'
	derivedSymbol = 'D'
)

const (
	nonceBytes   = 12
	symbolDigits = 4
	symbolBytes  = 2*nonceBytes + 1 + symbolDigits
	maxSymbols   = 1 << (4 * symbolDigits)
)

// mark is the string that stands for a symbol: nobody can have written it into an
// input before this process chose the nonce.
func mark(nonce string, kind byte, number int) string {
	digits := strconv.FormatInt(int64(number), 16)
	return nonce + string(kind) + "0000"[:symbolDigits-len(digits)] + digits
}

func unmark(nonce string, value ast.Value) (kind byte, number int, ok bool) {
	text, ok := value.(ast.String)
	if !ok || len(text) != symbolBytes || string(text[:len(nonce)]) != nonce {
		return 0, 0, false
	}
	parsed, err := strconv.ParseInt(string(text[len(nonce)+1:]), 16, 32)
	return text[len(nonce)], int(parsed), err == nil
}

func (f *Form) reset(nonce string, time []byte, wholeTime bool) {
	f.nonce = nonce
	f.Key, f.symbols = f.Key[:0], append(f.symbols[:0], symbol{numberSymbol, time})
	f.Partial, f.erasable, f.strange = false, false, false
	if wholeTime {
		f.Key = append(append(f.Key, time...), '\n')
	}
}

// fill takes a question apart. It is false if the question is not JSON.
func (f *Form) fill(question *Question, seen *reads.Reads) bool {
	f.token = len(f.Key)
	if !f.putToken(question.Token, seen) {
		return false
	}
	f.Key = append(f.Key, '\n')
	f.input = len(f.Key)
	f.erasable = question.Erasable
	f.unreadable, f.authorization = seen.Input.Member([]byte("parsed_body")), nil
	if hasToken(f.Key[f.token:]) {
		f.authorization = authorization(seen.Input)
	}
	end := f.put(question.Input, jsonscan.Space(question.Input, 0), seen.Input)
	return end >= 0 && jsonscan.Space(question.Input, end) == len(question.Input)
}

// holdsErased says whether something that the policy reads is not recorded.
func (f *Form) holdsErased() bool {
	return f.Partial || slices.ContainsFunc(f.symbols, func(s symbol) bool { return s.kind == erasedSymbol })
}

// put writes the value at i as far as the policy sees it, and returns the index after
// the value.
func (f *Form) put(text []byte, i int, place *reads.Place) int {
	if i < 0 || i >= len(text) {
		return -1
	}
	if place.Use&(reads.Whole|reads.Verify) != 0 {
		return f.whole(text, i)
	}
	switch text[i] {
	case '{', '[':
		if place.Use&reads.Test != 0 {
			return f.whole(text, i)
		}
		return f.members(text, i, place)
	}
	return f.scalar(text, i, place)
}

func (f *Form) whole(text []byte, i int) int {
	end := jsonscan.Value(text, i)
	if end < 0 {
		return -1
	}
	f.Key = append(f.Key, text[i:end]...)
	if f.erasable && holdsNull(text, i) {
		f.Partial = true
	}
	return end
}

func (f *Form) members(text []byte, i int, place *reads.Place) int {
	if text[i] == '[' {
		f.Key = append(f.Key, '[')
		end := jsonscan.Elements(text, i, func(value int) int {
			if place.Each == nil {
				return 0
			}
			next := f.put(text, value, place.Each)
			f.Key = append(f.Key, ',')
			return next
		})
		f.close(']')
		return end
	}
	f.Key = append(f.Key, '{')
	end := jsonscan.Members(text, i, func(name []byte, value int) int {
		below := place.Member(name)
		if below == nil {
			return 0
		}
		f.name(name)
		next := f.put(text, value, below)
		f.Key = append(f.Key, ',')
		return next
	})
	f.close('}')
	return end
}

func (f *Form) name(name []byte) {
	if slices.ContainsFunc(name, func(c byte) bool { return c < ' ' || c == '"' || c == '\\' || c >= 0x7f }) {
		quoted, err := json.Marshal(string(name))
		f.strange = f.strange || err != nil
		f.Key = append(f.Key, quoted...)
	} else {
		f.Key = append(append(append(f.Key, '"'), name...), '"')
	}
	f.Key = append(f.Key, ':')
}

// close puts the bracket in the place of the last comma.
func (f *Form) close(bracket byte) {
	if last := len(f.Key) - 1; f.Key[last] == ',' {
		f.Key[last] = bracket
		return
	}
	f.Key = append(f.Key, bracket)
}

func (f *Form) scalar(text []byte, i int, place *reads.Place) int {
	end := jsonscan.Value(text, i)
	if end < 0 {
		return -1
	}
	isTested := place.Use&(reads.Test|reads.Measure) != 0
	switch c := text[i]; {
	case c == 'n' && f.erasable && place != f.unreadable && place != f.authorization:
		// It may have been false; no more is known of it than that it was there.
		f.Partial = f.Partial || place.Use&reads.Truth != 0
		f.symbol(erasedSymbol, nil)
	case c == 't' || c == 'f' || c == 'n':
		f.Key = append(f.Key, text[i:end]...)
	case c == '"' && isTested:
		f.symbol(stringSymbol, text[i:end])
	case c == '"': // some string
		f.Key = append(f.Key, '"', '"')
	case isTested:
		f.symbol(numberSymbol, text[i:end])
	default: // some number
		f.Key = append(f.Key, '0')
	}
	return end
}

func (f *Form) symbol(kind byte, raw []byte) {
	number := len(f.symbols)
	if number >= maxSymbols {
		f.strange = true
		return
	}
	f.symbols = append(f.symbols, symbol{kind, raw})
	f.Key = append(append(f.Key, '"'), f.nonce...)
	f.Key = append(f.Key, kind)
	for shift := 4 * (symbolDigits - 1); shift >= 0; shift -= 4 {
		f.Key = append(f.Key, "0123456789abcdef"[number>>shift&0xf])
	}
	f.Key = append(f.Key, '"')
}

func holdsNull(text []byte, i int) (found bool) {
	switch text[i] {
	case 'n':
		return true
	case '[':
		jsonscan.Elements(text, i, func(value int) int {
			found = found || holdsNull(text, value)
			return 0
		})
	case '{':
		jsonscan.Members(text, i, func(_ []byte, value int) int {
			found = found || holdsNull(text, value)
			return 0
		})
	}
	return found
}
