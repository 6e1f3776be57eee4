package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/extauthz"
	"paymesh.internal/pdp/policy/policytest"
)

const (
	keyID = "paymesh-bundle"
	older = "1700000000000-aaaaaaaaaaaa"
	newer = "1700000000001-bbbbbbbbbbbb"
)

const policyRego = `package paymesh

authz.decision := {"allowed": true, "dynamic_metadata": {"reason": "ALLOWED"}}

objects.decision := {"allowed": input.user.sub == "alice", "reason": "ALLOWED"}

log.mask := {"erase": {"/secret"}}
`

// bundleServer serves whatever bundle it was last given.
type bundleServer struct {
	*httptest.Server
	current atomic.Pointer[[]byte]
	version atomic.Int64
	fetched atomic.Int64
}

func (s *bundleServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag := fmt.Sprint(s.version.Load())
	content := s.current.Load()
	if r.Header.Get("If-None-Match") == tag || content == nil {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Etag", tag)
	_, _ = w.Write(*content)
	s.fetched.Add(1)
}

func (s *bundleServer) serve(t *testing.T, revision, privateKey string) {
	t.Helper()
	manifest := bundle.Manifest{Revision: revision, Roots: &[]string{"paymesh"}}
	manifest.Init()
	b := bundle.Bundle{
		Manifest: manifest,
		Data:     map[string]any{},
		Modules:  []bundle.ModuleFile{{Path: "/policy.rego", URL: "/policy.rego", Raw: []byte(policyRego), Parsed: ast.MustParseModule(policyRego)}},
	}
	if privateKey != "" {
		config := bundle.NewSigningConfig(privateKey, "ES256", "")
		if err := b.GenerateSignature(config, keyID, false); err != nil {
			t.Fatal(err)
		}
	}
	var buffer bytes.Buffer
	if err := bundle.NewWriter(&buffer).Write(b); err != nil {
		t.Fatal(err)
	}
	content := buffer.Bytes()
	s.current.Store(&content)
	s.version.Add(1)
}

// start runs OPA with both plugins as main does, and returns its REST address.
func start(t *testing.T, directory, bundleURL, publicKey string) string {
	t.Helper()
	runtime.RegisterPlugin(extauthz.PluginName, extauthz.Factory{})
	runtime.RegisterPlugin(decisionlog.PluginName, decisionlog.Factory{})
	config, err := json.Marshal(map[string]any{
		"services": map[string]any{"bundles": map[string]any{"url": bundleURL}},
		"keys":     map[string]any{keyID: map[string]any{"algorithm": "ES256", "key": publicKey}},
		"bundles": map[string]any{"paymesh": map[string]any{
			"service": "bundles", "resource": "paymesh.tar.gz", "signing": map[string]any{"keyid": keyID},
			"polling": map[string]any{"min_delay_seconds": 1, "max_delay_seconds": 1},
		}},
		"decision_logs": map[string]any{"plugin": decisionlog.PluginName},
		"plugins": map[string]any{
			extauthz.PluginName: map[string]any{"addr": "unix://" + directory + "/authz.sock", "path": "paymesh/authz/decision"},
			decisionlog.PluginName: map[string]any{
				"path": directory + "/decisions.jsonl", "revision_file": directory + "/revision",
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	configFile := filepath.Join(directory, "pdp.json")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		t.Fatal(err)
	}
	params := runtime.NewParams()
	params.Addrs = &[]string{"127.0.0.1:0"}
	params.ConfigFile = configFile
	params.Logger = logging.NewNoOpLogger()
	params.GracefulShutdownPeriod = 2
	ctx, stop := context.WithCancel(context.Background())
	rt, err := runtime.NewRuntime(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- rt.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the REST server", func() bool { return len(rt.Addrs()) > 0 })
	return "http://" + rt.Addrs()[0]
}

// The whole program: nothing is decided before a signed bundle is active; checks and
// REST decisions are in one log; an older bundle changes neither.
func TestSignedBundleFromStartToRollback(t *testing.T) {
	directory, err := os.MkdirTemp("", "pdp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	private, public := policytest.KeyPair(t)
	bundles := &bundleServer{}
	bundles.Server = httptest.NewServer(bundles)
	t.Cleanup(bundles.Close)
	rest := start(t, directory, bundles.URL, public)
	connection, err := grpc.NewClient("unix://"+directory+"/authz.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	checks := authv3.NewAuthorizationClient(connection)
	allowed := func() bool {
		response, err := checks.Check(t.Context(), &authv3.CheckRequest{})
		return err == nil && response.GetOkResponse() != nil
	}
	healthy := func() bool { return get(t, rest+"/health?plugins&bundles") == http.StatusOK }

	bundles.serve(t, older, "")
	time.Sleep(2500 * time.Millisecond) // two polls
	if allowed() || healthy() {
		t.Fatal("an unsigned bundle is used")
	}
	bundles.serve(t, newer, private)
	eventually(t, "health", healthy)
	if !allowed() {
		t.Error("the check is refused")
	}
	if status, body := ask(t, rest); status != http.StatusOK || !strings.Contains(body, `"allowed":true`) {
		t.Errorf("REST: %d %s", status, body)
	}
	log, err := os.ReadFile(directory + "/decisions.jsonl")
	if err != nil || bytes.Count(log, []byte(`"allowed":true`)) < 2 || !bytes.Contains(log, []byte(newer)) || bytes.Contains(log, []byte("s3cr3t")) {
		t.Errorf("the log is %s, %v", log, err)
	}

	fetched := bundles.fetched.Load()
	bundles.serve(t, older, private)
	// What is fetched again was refused before.
	eventually(t, "two attempts with the older bundle", func() bool { return bundles.fetched.Load() >= fetched+2 })
	if !allowed() || !healthy() {
		t.Error("an older bundle changes what is decided")
	}
	if status, body := ask(t, rest); status != http.StatusOK || !strings.Contains(body, `"allowed":true`) {
		t.Errorf("REST after the older bundle: %d %s", status, body)
	}
	log, err = os.ReadFile(directory + "/decisions.jsonl")
	if err != nil || bytes.Contains(log, []byte(older)) {
		t.Errorf("an older bundle has decided: %s, %v", log, err)
	}
}

func ask(t *testing.T, rest string) (int, string) {
	t.Helper()
	question := strings.NewReader(`{"input": {"user": {"sub": "alice"}, "secret": "s3cr3t"}}`)
	response, err := http.Post(rest+"/v1/data/paymesh/objects/decision", "application/json", question)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func get(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}
