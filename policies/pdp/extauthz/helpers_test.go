package extauthz

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/plugins"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/policy/policytest"
)

const (
	oldStamp = "1700000000000-aaaaaaaaaaaa"
	newStamp = "1700000000001-bbbbbbbbbbbb"
	caller   = "spiffe://mesh.test/ns/a/sa/payments"
)

// rego answers by path: the policy of the tests.
const rego = `package paymesh.authz

path := input.attributes.request.http.path

default decision := {"allowed": false, "http_status": 403, "body": "NO: not granted", "dynamic_metadata": {"reason": "NO"}}

decision := {"allowed": true, "headers": {"x-caller": input.source_principal}, "dynamic_metadata": {"reason": "ALLOWED", "grant": "g-1", "user": {"sub": "alice"}}} if path in {"/ok", "/a.B/Ok"}

decision := "yes" if path == "/string"

decision := {"allowed": "true"} if path == "/allowed-is-a-string"

decision := {"allowed": true} if path == "/conflict"

decision := {"allowed": false} if path == "/conflict"

decision := {"allowed": count([1 | some i in numbers.range(1, 20000); some j in numbers.range(1, 20000); i * j == 0]) == 0} if path == "/slow"

partial := true if path == "/ok"
`

// mask erases the paths that the tests' policy takes for odd.
const mask = `
mask := {"erase": {p | some p in ["/attributes/request/http/path", "/attributes/request/http/headers/:path", "/parsed_path"]; regex.match("[0-9]|Private", input.attributes.request.http.path)}}
`

var environment = map[string]any{"paymesh": map[string]any{"environment": map[string]any{"trust_domain": "mesh.test"}}}

func activate(t testing.TB, manager *plugins.Manager, stamp string) {
	policytest.Activate(t, manager, policytest.Policy{Revision: stamp, Rego: rego + mask, Data: environment})
}

// pdp is a running plugin with its decision log and a client.
type pdp struct {
	manager *plugins.Manager
	plugin  *Plugin
	checks  authv3.AuthorizationClient
	health  healthpb.HealthClient
	socket  string
	log     string
}

// run starts both plugins on a socket. The log's configuration may be changed.
func run(t testing.TB, config, logConfig map[string]any) *pdp {
	t.Helper()
	directory, err := os.MkdirTemp("", "pdp") // a test's own name can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	p := &pdp{
		manager: policytest.Manager(t),
		socket:  filepath.Join(directory, "authz.sock"),
		log:     filepath.Join(directory, "decisions.jsonl"),
	}
	all := map[string]any{"addr": "unix://" + p.socket, "path": "paymesh/authz/decision"}
	logAll := map[string]any{"path": p.log, "mask": "paymesh/authz/mask"}
	for key, value := range config {
		all[key] = value
	}
	for key, value := range logConfig {
		logAll[key] = value
	}
	log := register(t, p.manager, decisionlog.PluginName, decisionlog.Factory{}, logAll)
	p.plugin = register(t, p.manager, PluginName, Factory{}, all).(*Plugin)
	if err := p.plugin.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		log.Stop(ctx)
	})
	connection := dial(t, "unix://"+p.socket)
	p.checks, p.health = authv3.NewAuthorizationClient(connection), healthpb.NewHealthClient(connection)
	return p
}

func register(t testing.TB, manager *plugins.Manager, name string, factory plugins.Factory, config map[string]any) plugins.Plugin {
	t.Helper()
	content, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := factory.Validate(manager, content)
	if err != nil {
		t.Fatal(err)
	}
	plugin := factory.New(manager, parsed)
	manager.Register(name, plugin)
	return plugin
}

func dial(t testing.TB, target string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func request(path string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Principal: caller},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Path: path, Headers: map[string]string{"content-type": "application/grpc", "authorization": "Bearer s3cr3t"},
		}},
	}}
}

func (p *pdp) check(t testing.TB, path string) (*authv3.CheckResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.checks.Check(ctx, request(path))
}

func (p *pdp) serving(t testing.TB) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	response, err := p.health.Check(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetStatus()
}

func (p *pdp) records(t testing.TB) []map[string]any {
	t.Helper()
	content, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	var records []map[string]any
	for line := range strings.Lines(string(content)) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		records = append(records, record)
	}
	return records
}

func headerOf(response *authv3.CheckResponse, name string) string {
	for _, option := range append(response.GetOkResponse().GetHeaders(), response.GetDeniedResponse().GetHeaders()...) {
		if option.GetHeader().GetKey() == name {
			return option.GetHeader().GetValue()
		}
	}
	return ""
}

func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}
