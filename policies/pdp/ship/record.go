package ship

import (
	"encoding/json"
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

// parse returns false for what is no record, such as a line that was cut.
func parse(line []byte) (record, bool) {
	r := record{line: line}
	err := json.Unmarshal(line, &r)
	return r, err == nil && r.DecisionID != "" && !r.Time.IsZero()
}
