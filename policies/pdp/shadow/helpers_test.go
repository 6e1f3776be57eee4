package shadow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/policy/policytest"
)

const (
	authz   = "paymesh/authz/decision"
	objects = "paymesh/objects/decision"

	first  = "1700000000000-aaaaaaaaaaaa"
	second = "1700000000001-bbbbbbbbbbbb"
	caller = "spiffe://mesh.test/ns/a/sa/payments"
)

// candidateRego is a candidate that allows alice alone and knows the time.
const candidateRego = `package paymesh

authz.decision := {
	"allowed": input.user == "alice",
	"dynamic_metadata": {"reason": reason, "grant": "g-2"},
}

reason := input.reason

reason := sprintf("AT_%d", [time.now_ns()]) if not input.reason

objects.decision := {"allowed": input.user == "alice", "reason": "OBJECT"}
`

var moment = time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)

// record is a decision that was refused with reason NO.
func record(id, path string, input map[string]any) *decisionlog.Record {
	return &decisionlog.Record{
		DecisionID: id, Time: moment, Caller: caller, RPC: "/a.B/C", PolicyPath: path,
		Input: ast.MustInterfaceToValue(input), Reason: "NO", Revision: "live",
	}
}

// offered is what a bundle holds.
type offered struct {
	revision string
	rego     string
	packages []string
	key      string // private
}

func (o offered) bundle(t testing.TB) []byte {
	t.Helper()
	manifest := bundle.Manifest{Revision: o.revision, Roots: &[]string{"paymesh"}}
	manifest.Init()
	packages := []any{}
	for _, name := range o.packages {
		packages = append(packages, name)
	}
	b := bundle.Bundle{
		Manifest: manifest,
		Data:     map[string]any{"paymesh": map[string]any{"shadow": map[string]any{"packages": packages}}},
	}
	if o.rego != "" {
		b.Modules = []bundle.ModuleFile{{Path: "/policy.rego", URL: "/policy.rego", Raw: []byte(o.rego), Parsed: ast.MustParseModule(o.rego)}}
	}
	if err := b.GenerateSignature(bundle.NewSigningConfig(o.key, algorithm, ""), "paymesh-shadow", false); err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	if err := bundle.NewWriter(&buffer).Write(b); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// bundleServer answers long polls with the bundle that it was given last.
type bundleServer struct {
	mutex   sync.Mutex
	content []byte
	version int
	status  int // another answer than the bundle
	changed chan struct{}
}

func (s *bundleServer) set(status int, content []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.status, s.content, s.version = status, content, s.version+1
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *bundleServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	if changed := s.changed; s.status != http.StatusOK || r.Header.Get("If-None-Match") == fmt.Sprint(s.version) {
		s.mutex.Unlock()
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
		}
		s.mutex.Lock()
	}
	defer s.mutex.Unlock()
	w.Header().Set("Content-Type", "application/vnd.openpolicyagent.bundles")
	tag := fmt.Sprint(s.version)
	if s.status == http.StatusOK && r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Etag", tag)
	w.WriteHeader(s.status)
	_, _ = w.Write(s.content)
}

// running is the plugin with a decision log and a bundle server.
type running struct {
	*Plugin
	log     *decisionlog.Plugin
	bundles *bundleServer
	private string
}

func run(t *testing.T) *running {
	t.Helper()
	directory := t.TempDir()
	private, public := policytest.KeyPair(t)
	r := &running{bundles: &bundleServer{status: http.StatusNotFound, changed: make(chan struct{})}, private: private}
	server := httptest.NewServer(r.bundles)
	t.Cleanup(server.Close)
	services := fmt.Sprintf(`{"services": {"bundles": {"url": %q}}}`, server.URL)
	manager, err := plugins.New([]byte(services), "test", inmem.New(), plugins.Logger(logging.NewNoOpLogger()))
	if err != nil {
		t.Fatal(err)
	}
	logConfig, err := decisionlog.ParseConfig(fmt.Appendf(nil, `{"path": %q}`, filepath.Join(directory, "decisions.jsonl")))
	if err != nil {
		t.Fatal(err)
	}
	r.log = decisionlog.New(manager, logConfig)
	manager.Register(decisionlog.PluginName, r.log)
	content, err := json.Marshal(map[string]any{
		"service": "bundles", "resource": "bundles/shadow.tar.gz", "key_id": "paymesh-shadow", "key": public,
		"differences": filepath.Join(directory, "shadow.jsonl"), "status": filepath.Join(directory, "shadow.json"),
		"long_poll_seconds": 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := ParseConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	r.Plugin = New(manager, config)
	manager.Register(PluginName, r.Plugin)
	if err := r.log.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Stop(context.Background())
		r.log.Stop(context.Background())
	})
	return r
}

// switchTo publishes a candidate and waits until it is used.
func (r *running) switchTo(t *testing.T, revision string, packages ...string) {
	t.Helper()
	r.bundles.set(http.StatusOK, offered{revision: revision, rego: candidateRego, packages: packages, key: r.private}.bundle(t))
	waitFor(t, "the candidate", func() bool { return r.revision() == revision })
}

func (r *running) differences(t *testing.T) []difference {
	return readDifferences(t, r.config.Differences)
}

func readDifferences(t testing.TB, path string) []difference {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var found []difference
	for line := range strings.Lines(string(content)) {
		var d difference
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		found = append(found, d)
	}
	return found
}

func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}
