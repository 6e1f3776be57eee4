package decisionlog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

func exampleRecord() *Record {
	return &Record{
		DecisionID: "id-1",
		Time:       time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)),
		Caller:     "spiffe://mesh.test/ns/a/sa/payments",
		User:       ast.MustParseTerm(`{"sub": "alice"}`).Value,
		RPC:        "/bank.v1.Transfers/Send?token=s3cr3t",
		Input:      ast.MustParseTerm(`{"a": 1, "secret": "s3cr3t"}`).Value,
		Mask:       Mask{pointers: &pointers{below: map[string]*pointers{"secret": {fate: erased}}}},
		Result:     ast.MustParseTerm(`{"allowed": true}`).Value,
		Allowed:    true,
		Reason:     "ALLOWED",
		Grant:      "g-1",
		Revision:   "r-1",
		PolicyPath: "paymesh/authz/decision",
		Evaluation: 42 * time.Nanosecond,
	}
}

// A record is one line, with these keys in this form.
func TestRecord(t *testing.T) {
	const want = `{"decision_id":"id-1","time":"2026-01-02T02:04:05.000000006Z","caller":"spiffe://mesh.test/ns/a/sa/payments",` +
		`"user":{"sub":"alice"},"token":null,"rpc":"/bank.v1.Transfers/Send","input":{"a":1,"secret":null},"result":{"allowed":true},"allowed":true,` +
		`"reason":"ALLOWED","grant":"g-1","revision":"r-1","policy_path":"paymesh/authz/decision","eval_ns":42}` + "\n"
	if got := string(exampleRecord().appendTo(nil, 4096)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Without a working mask the input is left out, and the record says why.
func TestRecordWithoutInput(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Record)
		limit  int
		want   string
	}{
		"zero mask":   {func(r *Record) { r.Mask = Mask{} }, 4096, "unmasked"},
		"failed mask": {func(r *Record) { r.Mask = Mask{omit: "the mask failed"} }, 4096, "the mask failed"},
		"no input":    {func(r *Record) { r.Input = nil }, 4096, "none"},
		"too long":    {func(*Record) {}, 100, "longer than 100 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			record := exampleRecord()
			c.change(record)
			line := record.appendTo(nil, c.limit)
			var got map[string]any
			if err := json.Unmarshal(line, &got); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if got["input"] != nil || got["input_omitted"] != c.want || got["decision_id"] != "id-1" || got["allowed"] != true {
				t.Errorf("got %s", line)
			}
			if strings.Contains(string(line), "s3cr3t") {
				t.Errorf("it holds the secret: %s", line)
			}
		})
	}
}

// A caller cannot make a record long by its own names.
func TestRecordBoundsNames(t *testing.T) {
	record := exampleRecord()
	record.Caller, record.RPC, record.Error = strings.Repeat("c", 1<<20), strings.Repeat("/", 1<<20), strings.Repeat("e", 1<<20)
	record.Input = nil
	if got := len(record.appendTo(nil, 4096)); got > 4096 {
		t.Errorf("%d bytes", got)
	}
}

func BenchmarkRecord(b *testing.B) {
	record := exampleRecord()
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = record.appendTo(line[:0], 4096)
	}
}
