package ship

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

// A record in OTLP has what one looks for as attributes, and the line as its body.
func TestOTLPRecord(t *testing.T) {
	l, r := newLog(t), receive(t, httptest.NewServer)
	l.records(2)
	ship(t, config(t, l, r.URL+"/v1/logs", map[string]any{"service_name": "ledger-pdp"}))
	until(t, "both", func() bool { return r.got() == "1 2" })
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if got := r.requests[0]; got.URL.Path != "/v1/logs" || got.Header.Get("Content-Type") != "application/x-protobuf" || got.Header.Get("Authorization") != "" {
		t.Errorf("got %v", got)
	}
	var message collectorpb.ExportLogsServiceRequest
	if err := proto.Unmarshal(r.bodies[0], &message); err != nil {
		t.Fatal(err)
	}
	resource := message.GetResourceLogs()[0]
	service := resource.GetResource().GetAttributes()[0]
	if service.GetKey() != "service.name" || service.GetValue().GetStringValue() != "ledger-pdp" {
		t.Errorf("got %v", service)
	}
	logs := resource.GetScopeLogs()[0].GetLogRecords()
	if logs[0].GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN || logs[1].GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_INFO ||
		logs[1].GetSeverityText() != "INFO" || logs[0].GetTimeUnixNano() != 1795262400123456789 || logs[0].GetObservedTimeUnixNano() == 0 ||
		logs[0].GetBody().GetStringValue()+"\n" != line(1) {
		t.Errorf("got %v", logs)
	}
	got := map[string]string{}
	for _, attribute := range logs[1].GetAttributes() {
		got[attribute.GetKey()] = fmt.Sprint(attribute.GetValue().GetStringValue(), attribute.GetValue().GetBoolValue())
	}
	want := map[string]string{"decision_id": "2false", "caller": "gatewayfalse", "rpc": "/a.B/Cfalse", "reason": "Rfalse", "allowed": "true", "revision": "rfalse"}
	for key, value := range want {
		if !strings.HasPrefix(got[key], strings.TrimSuffix(value, "false")) || len(got) != len(want) {
			t.Errorf("%s: got %v", key, got)
		}
	}
}

// The token is read each time and sent to the receiver alone: no redirect is
// followed, no proxy of the environment's asked.
func TestTokenIsForTheReceiverAlone(t *testing.T) {
	elsewhere := receive(t, httptest.NewServer)
	t.Setenv("HTTP_PROXY", elsewhere.URL)
	t.Setenv("HTTPS_PROXY", elsewhere.URL)
	l, r := newLog(t), receive(t, httptest.NewTLSServer)
	file := filepath.Join(t.TempDir(), "token")
	authorities := filepath.Join(t.TempDir(), "ca.pem")
	c := config(t, l, r.URL, map[string]any{"token_file": file, "ca_file": authorities})
	moved := true
	r.answer = func(w http.ResponseWriter, _ []string) bool {
		if moved {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return false
		}
		return true
	}
	l.records(1)
	s := ship(t, c)
	steps := []struct{ path, content, says string }{
		{"", "", "token: no such file"},
		{file, "two\nlines", "holds no token"},
		{file, "s3cr3t-1\n", "ca.pem: no such file"},
		{authorities, "nothing", "holds no certificate"},
		{authorities, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})), "307 Temporary Redirect"},
	}
	for _, step := range steps {
		if step.path != "" {
			if err := os.WriteFile(step.path, []byte(step.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		until(t, step.says, func() bool { return s.says(step.says) })
	}
	if err := os.WriteFile(file, []byte("s3cr3t-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.mutex.Lock()
	moved = false
	r.mutex.Unlock()
	until(t, "the record", func() bool { return r.got() == "1" })
	s.end()
	if got := r.requests[len(r.requests)-1].Header.Get("Authorization"); got != "Bearer s3cr3t-2" {
		t.Errorf("got %q", got)
	}
	if len(elsewhere.requests) != 0 || strings.Contains(strings.Join(s.said, ""), "s3cr3t") {
		t.Errorf("elsewhere %d, said %q", len(elsewhere.requests), s.said)
	}
}

// A receiver whose certificate is from nobody that is trusted gets nothing.
func TestUnknownAuthorityIsRefused(t *testing.T) {
	l, r := newLog(t), receive(t, httptest.NewTLSServer)
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.records(1)
	s := ship(t, config(t, l, r.URL, nil))
	until(t, "the refusal", func() bool { return s.says("certificate") })
	if r.got() != "" {
		t.Errorf("got %s", r.got())
	}
}

// A success that took less than all is counted and not sent again.
func TestPartialSuccess(t *testing.T) {
	l, r := newLog(t), receive(t, httptest.NewServer)
	r.answer = func(w http.ResponseWriter, _ []string) bool {
		answer, err := proto.Marshal(&collectorpb.ExportLogsServiceResponse{PartialSuccess: &collectorpb.ExportLogsPartialSuccess{RejectedLogRecords: 1, ErrorMessage: "old"}})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(answer)
		return true
	}
	l.records(3)
	c := config(t, l, r.URL, nil)
	s := ship(t, c)
	until(t, "the cursor", func() bool { at, err := readCursor(c.Cursor); return err == nil && at.Offset > 0 })
	s.end()
	if got := r.got(); got != "1 2 3" {
		t.Errorf("got %s", got)
	}
}

// Failures wait longer each time and never longer than a minute, or a quarter of an
// hour if the receiver asks for more.
func TestWait(t *testing.T) {
	for failures, most := range map[int]time.Duration{1: firstBackoff, 2: 2 * firstBackoff, 5: 16 * firstBackoff, 9: lastBackoff, 1000: lastBackoff} {
		for range 100 {
			if got := wait(failures, os.ErrClosed); got < most/2 || got > most {
				t.Errorf("%d failures: %v", failures, got)
			}
		}
	}
	if got := wait(1, &refusal{retryAfter: 24 * time.Hour}); got != longestWait {
		t.Errorf("got %v", got)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, "-1": 0, "x": 0, "Sat, 21 Nov 2026 12:01:00 GMT": time.Minute, "Sat, 21 Nov 2026 11:00:00 GMT": 0} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
}

// Decisions go over the network in TLS only, and no secret stands in a URL.
func TestParseConfig(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://logs.example/v1/logs": true, "http://127.0.0.1:4318/v1/logs": true, "http://[::1]:1": true, "http://localhost/": true,
		"http://logs.example/v1/logs": false, "https://user:s3cr3t@logs.example": false, "ftp://localhost/": false, "": false, "logs.example:4318": false, "https://": false,
	} {
		_, err := ParseConfig(fmt.Appendf(nil, `{"log": "l", "cursor": "c", "endpoint": %q}`, endpoint))
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	for _, more := range []string{`"log": ""`, `"log": "-"`, `"format": "xml"`, `"max_batch_records": 0`, `"max_batch_bytes": 99999999`, `"timeout_seconds": 0`} {
		if _, err := ParseConfig([]byte(`{"log": "l", "cursor": "c", "endpoint": "https://a", ` + more + `}`)); err == nil {
			t.Errorf("%s is taken", more)
		}
	}
}
