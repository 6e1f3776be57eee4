package replay

import (
	"strconv"
	"time"

	"paymesh.internal/pdp/jsonscan"
)

// record is a line of the decision log, taken apart but not decoded: each field is the
// JSON that stands in the line, nil if there is none.
type record struct {
	id, time, caller, user, token, rpc, input, omitted []byte
	allowed, reason, grant, revision, path, err        []byte
}

// parse is false for a line that is no JSON object from its beginning to its end.
func (r *record) parse(line []byte) bool {
	*r = record{}
	end := jsonscan.Members(line, jsonscan.Space(line, 0), func(name []byte, value int) int {
		next := jsonscan.Value(line, value)
		if field := r.field(name); field != nil && next > 0 {
			*field = line[value:next]
		}
		return next
	})
	return end > 0 && jsonscan.Space(line, end) == len(line)
}

func (r *record) field(name []byte) *[]byte {
	switch string(name) {
	case "decision_id":
		return &r.id
	case "time":
		return &r.time
	case "caller":
		return &r.caller
	case "user":
		return &r.user
	case "token":
		return &r.token
	case "rpc":
		return &r.rpc
	case "input":
		return &r.input
	case "input_omitted":
		return &r.omitted
	case "allowed":
		return &r.allowed
	case "reason":
		return &r.reason
	case "grant":
		return &r.grant
	case "revision":
		return &r.revision
	case "policy_path":
		return &r.path
	case "error":
		return &r.err
	}
	return nil
}

// text is what a string of the record says; empty if the field is no string.
func text(field []byte) []byte {
	if len(field) < 2 || field[0] != '"' {
		return nil
	}
	return jsonscan.Unquoted(field)
}

// moment reads RFC 3339 in UTC, as the decision log writes it, without a detour; other
// forms the long way.
func moment(text []byte) (time.Time, bool) {
	if len(text) >= len("2006-01-02T15:04:05Z") && text[len(text)-1] == 'Z' && text[19] != 'Z' || len(text) == 20 {
		if t, ok := quick(text); ok {
			return t, true
		}
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	return t, err == nil
}

func quick(text []byte) (time.Time, bool) {
	var parts [6]int
	for i, at := range [6][2]int{{0, 4}, {5, 7}, {8, 10}, {11, 13}, {14, 16}, {17, 19}} {
		for _, c := range text[at[0]:at[1]] {
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
			parts[i] = parts[i]*10 + int(c-'0')
		}
	}
	if text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return time.Time{}, false
	}
	nanoseconds := 0
	if fraction := text[19 : len(text)-1]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) < 2 || len(fraction) > 10 {
			return time.Time{}, false
		}
		for i := range 9 {
			nanoseconds *= 10
			if i+1 < len(fraction) {
				digit := fraction[i+1]
				if digit < '0' || digit > '9' {
					return time.Time{}, false
				}
				nanoseconds += int(digit - '0')
			}
		}
	}
	month, day, seconds := parts[1], parts[2], parts[5]
	if month < 1 || month > 12 || day < 1 || day > 28 || parts[3] > 23 || parts[4] > 59 || seconds > 59 {
		return time.Time{}, false // or a day that not every month has
	}
	return time.Date(parts[0], time.Month(month), day, parts[3], parts[4], seconds, nanoseconds, time.UTC), true
}

func boolean(field []byte) (value, ok bool) {
	parsed, err := strconv.ParseBool(string(field))
	return parsed, err == nil && len(field) >= len("true")
}

// keyOf is the id of the key that verified a token; empty if none did.
func keyOf(token []byte) (id []byte) {
	if len(token) == 0 || token[0] != '{' {
		return nil
	}
	jsonscan.Members(token, 0, func(name []byte, value int) int {
		next := jsonscan.Value(token, value)
		if string(name) == "key" && next > 0 {
			id = text(token[value:next])
		}
		return next
	})
	return id
}
