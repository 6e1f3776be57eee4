package ship

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

// receiver keeps the ids that it took. answer may refuse a request, by its ids.
type receiver struct {
	*httptest.Server
	mutex    sync.Mutex
	ids      []string
	requests []*http.Request
	bodies   [][]byte
	answer   func(w http.ResponseWriter, ids []string) (taken bool)
}

func receive(t testing.TB, start func(http.Handler) *httptest.Server) *receiver {
	r := &receiver{}
	r.Server = start(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	zipped, err := gzip.NewReader(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(zipped)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.requests, r.bodies = append(r.requests, request), append(r.bodies, body)
	ids := idsOf(request.Header.Get("Content-Type"), body)
	if r.answer == nil || r.answer(w, ids) {
		r.ids = append(r.ids, ids...)
	}
}

func idsOf(contentType string, body []byte) (ids []string) {
	if contentType == "application/x-ndjson" {
		for line := range strings.Lines(string(body)) {
			var found record
			if json.Unmarshal([]byte(line), &found) == nil {
				ids = append(ids, found.DecisionID)
			}
		}
		return ids
	}
	var message collectorpb.ExportLogsServiceRequest
	if proto.Unmarshal(body, &message) != nil {
		return nil
	}
	for _, found := range message.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords() {
		ids = append(ids, found.GetAttributes()[0].GetValue().GetStringValue())
	}
	return ids
}

func (r *receiver) got() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return strings.Join(r.ids, " ")
}

// shipping is a shipper whose pauses take no time and are noted.
type shipping struct {
	*shipper
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}

	mutex  sync.Mutex
	pauses []time.Duration
	said   []string
}

func config(t testing.TB, l *logFile, endpoint string, more map[string]any) *Config {
	t.Helper()
	all := map[string]any{"log": l.path, "cursor": l.path + ".cursor", "endpoint": endpoint, "max_delay_milliseconds": 1, "max_batch_records": 4}
	for key, value := range more {
		all[key] = value
	}
	content, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func ship(t *testing.T, c *Config) *shipping {
	t.Helper()
	s := &shipping{t: t, done: make(chan struct{})}
	s.shipper = &shipper{
		config: c, client: &client{config: c, format: formatOf(c)}, logger: logging.NewNoOpLogger(), metrics: newMetrics(),
		say: func(message string) {
			s.mutex.Lock()
			defer s.mutex.Unlock()
			s.said = append(s.said, message)
		},
		pause: func(ctx context.Context, duration time.Duration) {
			s.mutex.Lock()
			s.pauses = append(s.pauses, duration)
			s.mutex.Unlock()
			pause(ctx, min(duration, 2*time.Millisecond))
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	go func() { defer close(s.done); s.run(ctx) }()
	t.Cleanup(s.end)
	return s
}

func (s *shipping) end() { s.stop(); <-s.done }

func (s *shipping) says(text string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.said) > 0 && strings.Contains(s.said[len(s.said)-1], text)
}

func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func numbers(from, to int) string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return strings.Join(all, " ")
}

// Everything arrives once and in order through rotations, and after a restart only
// what is new.
func TestShipsEverythingInOrder(t *testing.T) {
	for _, format := range []string{formatOTLP, formatNDJSON} {
		l, r := newLog(t), receive(t, httptest.NewServer)
		l.records(5)
		l.rotate(1)
		l.records(5)
		c := config(t, l, r.URL, map[string]any{"format": format})
		s := ship(t, c)
		until(t, "the first ten", func() bool { return r.got() == numbers(1, 10) })
		l.records(3)
		l.rotate(2)
		l.records(3)
		until(t, "all", func() bool { return r.got() == numbers(1, 16) })
		until(t, "the cursor", func() bool {
			at, err := readCursor(c.Cursor)
			return err == nil && at.After == filepath.Base(l.path)+".20261121T120002.000000000Z"
		})
		s.end()
		l.records(2)
		s = ship(t, c)
		until(t, "the rest", func() bool { return r.got() == numbers(1, 18) })
		s.end()
	}
}

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

// A receiver that is away or overloaded is asked again, as late as it says and later
// each time, and nothing is missing or out of order afterwards.
func TestOutageLosesNothing(t *testing.T) {
	l, r := newLog(t), receive(t, httptest.NewServer)
	answers := []int{503, 429, 408, 500, 502, 504}
	r.answer = func(w http.ResponseWriter, _ []string) bool {
		if len(answers) == 0 {
			return true
		}
		if answers[0] == 429 {
			w.Header().Set("Retry-After", "77")
		}
		w.WriteHeader(answers[0])
		answers = answers[1:]
		return false
	}
	l.records(9)
	s := ship(t, config(t, l, r.URL, nil))
	until(t, "all", func() bool { return r.got() == numbers(1, 9) })
	until(t, "an end of the trouble", func() bool {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		return len(s.said) == 7 && s.said[6] == ""
	})
	s.end()
	if !slices.Contains(s.pauses, 77*time.Second) {
		t.Errorf("Retry-After is not honoured: %v", s.pauses)
	}
	if !strings.Contains(s.said[0], "503 Service Unavailable; ") || !strings.HasSuffix(s.said[0], "bytes wait") {
		t.Errorf("said %q", s.said)
	}
}

// What was received when the shipper died, before it could note it, comes again; what
// was not comes too.
func TestKilledShipperLosesNothing(t *testing.T) {
	l, r := newLog(t), receive(t, httptest.NewServer)
	l.records(10)
	c := config(t, l, r.URL, nil)
	var first *shipping
	r.answer = func(_ http.ResponseWriter, ids []string) bool {
		if ids[0] == "5" && first != nil {
			first.stop() // the answer is on its way, and nobody waits for it any more
			first = nil
		}
		return true
	}
	r.mutex.Lock()
	first = ship(t, c)
	dying := first
	r.mutex.Unlock()
	<-dying.done
	ship(t, c)
	until(t, "all", func() bool { return strings.HasSuffix(r.got(), "10") })
	seen := map[string]bool{}
	last := 0
	for _, id := range strings.Fields(r.got()) {
		n, err := strconv.Atoi(id)
		if err != nil || n > last+1 {
			t.Fatalf("out of order: %s", r.got())
		}
		last, seen[id] = max(last, n), true
	}
	if len(seen) != 10 {
		t.Errorf("got %s", r.got())
	}
}

// A batch that is too large, or holds one record that the receiver does not like, is
// sent in parts; that record is named and waited for, and not passed over.
func TestRefusedRecordIsFoundAndKept(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge} {
		l, r := newLog(t), receive(t, httptest.NewServer)
		forgiving := false
		r.answer = func(w http.ResponseWriter, ids []string) bool {
			if slices.Contains(ids, "6") && !forgiving {
				http.Error(w, "cannot index this", status)
				return false
			}
			return true
		}
		l.records(9)
		s := ship(t, config(t, l, r.URL, nil))
		until(t, "the name", func() bool { return s.says("decision 6: the receiver answers " + strconv.Itoa(status)) })
		if got := r.got(); got != numbers(1, 5) || !s.says("cannot index this") {
			t.Errorf("got %s, said %q", got, s.said)
		}
		r.mutex.Lock()
		forgiving = true
		r.mutex.Unlock()
		until(t, "all", func() bool { return r.got() == numbers(1, 9) })
		s.end()
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

// A cursor that cannot be read stops the shipping and nothing else, until it is
// mended.
func TestDamagedCursorIsNamed(t *testing.T) {
	l, r := newLog(t), receive(t, httptest.NewServer)
	l.records(1)
	c := config(t, l, r.URL, nil)
	if err := os.WriteFile(c.Cursor, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := ship(t, c)
	until(t, "its name", func() bool { return s.says(c.Cursor) })
	if err := os.Remove(c.Cursor); err != nil {
		t.Fatal(err)
	}
	until(t, "the record", func() bool { return r.got() == "1" })
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

// The plugin is ready from the start and says in OPA's status what is wrong.
func TestPluginStatus(t *testing.T) {
	l := newLog(t)
	l.records(1)
	manager, err := plugins.New([]byte(`{}`), "test", inmem.New(), plugins.Logger(logging.NewNoOpLogger()))
	if err != nil {
		t.Fatal(err)
	}
	p := New(manager, config(t, l, "http://127.0.0.1:1/", nil))
	manager.Register(PluginName, p)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the message", func() bool {
		status := manager.PluginStatus()[PluginName]
		return status != nil && status.State == plugins.StateOK && strings.Contains(status.Message, "connection refused")
	})
	p.Stop(t.Context())
}
