package decisionlog

import (
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"paymesh.internal/pdp/policy"
)

// maxNameBytes bounds the fields that a caller can choose the length of.
const maxNameBytes = 512

// Record is one decision. It is written as one line of JSON with these keys, all
// of them always there but input_omitted and error.
type Record struct {
	DecisionID string
	Time       time.Time
	Caller     string    // as presented; recorded by its short name if it is a workload of the mesh
	User       ast.Value // verified claims, or nil
	Token      Facts     // of the authorization header; nil if there is none
	RPC        string    // path of the method if it may be recorded, or the action of an object-level question
	Input      ast.Value
	Mask       Mask
	Result     ast.Value // nil if there is none
	Allowed    bool
	Reason     string
	Grant      string
	Revision   string
	PolicyPath string
	Evaluation time.Duration
	Error      string
}

// appendTo appends the record and its newline. An input that would make the line
// longer than the limit is left out: the decision itself always fits.
func (r *Record) appendTo(line []byte, maxBytes int) []byte {
	begin := len(line)
	line = r.appendHead(line)
	head := len(line)
	if r.Input != nil && r.Mask.pointers != nil {
		line = append(line, `,"input":`...)
		line = appendValue(line, r.Input, r.Mask.pointers)
	}
	before := len(line)
	line = r.appendTail(line, r.omission())
	if len(line)-begin > maxBytes && before > head {
		line = r.appendTail(line[:head], "longer than "+strconv.Itoa(maxBytes)+" bytes")
	}
	return line
}

func (r *Record) omission() string {
	switch {
	case r.Input == nil:
		return "none"
	case r.Mask.pointers != nil:
		return ""
	case r.Mask.omit == "":
		return "unmasked"
	}
	return r.Mask.omit
}

func (r *Record) appendHead(line []byte) []byte {
	line = append(line, `{"decision_id":`...)
	line = appendString(line, r.DecisionID)
	line = append(line, `,"time":"`...)
	line = r.Time.UTC().AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","caller":`...)
	line = appendString(line, bounded(r.Caller))
	line = append(line, `,"user":`...)
	line = appendValue(line, r.User, nil)
	line = append(line, `,"token":`...)
	line = r.Token.appendTo(line)
	line = append(line, `,"rpc":`...)
	path, _, _ := strings.Cut(r.RPC, "?") // a query may hold anything
	return appendString(line, bounded(path))
}

func (r *Record) appendTail(line []byte, omission string) []byte {
	if omission != "" {
		line = append(line, `,"input":null,"input_omitted":`...)
		line = appendString(line, omission)
	}
	line = append(line, `,"result":`...)
	line = appendValue(line, r.Result, nil)
	line = append(line, `,"allowed":`...)
	line = strconv.AppendBool(line, r.Allowed)
	line = append(line, `,"reason":`...)
	line = appendString(line, r.Reason)
	line = append(line, `,"grant":`...)
	line = appendString(line, r.Grant)
	line = append(line, `,"revision":`...)
	line = appendString(line, r.Revision)
	line = append(line, `,"policy_path":`...)
	line = appendString(line, r.PolicyPath)
	line = append(line, `,"eval_ns":`...)
	line = strconv.AppendInt(line, r.Evaluation.Nanoseconds(), 10)
	if r.Error != "" {
		line = append(line, `,"error":`...)
		line = appendString(line, bounded(r.Error))
	}
	return append(line, '}', '\n')
}

// callerIn is the one form that a caller has in records: a workload of the mesh its
// name, another SPIFFE ID itself, and nothing for what could be taken for a name. The
// input has what was presented.
func callerIn(mesh policy.Mesh, presented string) string {
	if name, ok := mesh.Workload(presented); ok {
		return name
	}
	if strings.HasPrefix(presented, "spiffe://") {
		return presented
	}
	return ""
}

func bounded(text string) string {
	if len(text) > maxNameBytes {
		return text[:maxNameBytes]
	}
	return text
}
