package ship

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// record is a line of the decision log, with what a receiver may want to look for
// without reading the line.
type record struct {
	line []byte

	DecisionID string    `json:"decision_id"`
	Time       time.Time `json:"time"`
	Caller     string    `json:"caller"`
	RPC        string    `json:"rpc"`
	Allowed    bool      `json:"allowed"`
	Reason     string    `json:"reason"`
	Revision   string    `json:"revision"`
}

// begin of every record. Quotes in a string are escaped, so that within a line this is
// the beginning of an object.
var begin = []byte(`{"decision_id":`)

// parse returns false for what is no record, such as a line that was cut. A record has
// an id and a time; what else it has the receiver may make of what it can.
func parse(line []byte) (record, bool) {
	r := record{line: line}
	err := json.Unmarshal(line, &r)
	var other *json.UnmarshalTypeError
	return r, (err == nil || errors.As(err, &other)) && r.DecisionID != "" && !r.Time.IsZero()
}

// parseBehind finds the record that was written behind one that was cut, without a
// newline between.
func parseBehind(damaged []byte) (record, bool) {
	if i := bytes.LastIndex(damaged, begin); i > 0 {
		return parse(damaged[i:])
	}
	return record{}, false
}
