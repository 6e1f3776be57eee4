package ship

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
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
