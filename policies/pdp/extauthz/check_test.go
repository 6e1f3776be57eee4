package extauthz

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"paymesh.internal/pdp/decision"
	"paymesh.internal/pdp/decisionlog"
)

// Each answer is in the log before it is given, under the id that it carries, with
// the claims that the policy verified and without the token.
func TestCheckIsRecorded(t *testing.T) {
	p := run(t, nil, nil)
	activate(t, p.manager, newStamp)
	for _, c := range []struct {
		path, rpc, reason, grant string
		code                     codes.Code
	}{
		{"/a.B/Ok", "/a.B/Ok", "ALLOWED", "g-1", codes.OK},
		{"/a.B/No", "/a.B/No", "NO", "", codes.PermissionDenied},
		{"/a.B/Private", "", "NO", "", codes.PermissionDenied},
		{"/cards/4111111111111111/pin=1234", "", "NO", "", codes.PermissionDenied},
		{"/4111111111111111/%zz", "", decision.ReasonUnreadable, "", codes.PermissionDenied},
	} {
		response, err := p.check(t, c.path)
		if err != nil {
			t.Fatal(err)
		}
		records := p.records(t)
		record := records[len(records)-1]
		id := headerOf(response, decision.IDHeader)
		if id == "" || record["decision_id"] != id || response.GetDynamicMetadata().GetFields()["decision_id"].GetStringValue() != id {
			t.Errorf("%s: the ids differ: %q in %v", c.path, id, record)
		}
		if response.GetStatus().GetCode() != int32(c.code) || record["allowed"] != (c.code == codes.OK) || record["reason"] != c.reason ||
			record["grant"] != c.grant || record["rpc"] != c.rpc || record["caller"] != caller || record["revision"] != newStamp ||
			record["policy_path"] != "paymesh/authz/decision" {
			t.Errorf("%s: answer %v, record %v", c.path, response, record)
		}
		if (headerOf(response, "grpc-status-details-bin") == "") != (c.code == codes.OK) {
			t.Errorf("%s: details of %v", c.path, response)
		}
	}
	records := p.records(t)
	if user, _ := records[0]["user"].(map[string]any); user["sub"] != "alice" || records[0]["input"] == nil {
		t.Errorf("got %v", records[0])
	}
	if content, err := os.ReadFile(p.log); err != nil || strings.Contains(string(content), "s3cr3t") || strings.Contains(string(content), "41111111") {
		t.Errorf("the token or a card number is in the log, or %v", err)
	}
}

// Whatever is no clear decision is a gRPC error, on which Envoy fails closed, and
// tells the caller nothing but the decision's id.
func TestCheckFailsClosed(t *testing.T) {
	p := run(t, map[string]any{"evaluation-timeout-milliseconds": 200}, nil)
	activate(t, p.manager, "")
	for path, code := range map[string]codes.Code{
		"/string": codes.Internal, "/allowed-is-a-string": codes.Internal, "/conflict": codes.Internal, "/slow": codes.DeadlineExceeded,
	} {
		response, err := p.check(t, path)
		if status.Code(err) != code {
			t.Errorf("%s: got %v, %v", path, response, err)
		}
		records := p.records(t)
		record := records[len(records)-1]
		if record["allowed"] != false || record["reason"] != decision.ReasonPolicyError || record["error"] == "" {
			t.Errorf("%s: record %v", path, record)
		}
		if id, _ := record["decision_id"].(string); status.Convert(err).Message() != "check failed, decision "+id {
			t.Errorf("%s: the caller learns %q", path, err)
		}
	}
}

// An undefined decision is an error and not a refusal.
func TestCheckUndefined(t *testing.T) {
	p := run(t, map[string]any{"path": "paymesh/authz/partial"}, nil)
	activate(t, p.manager, "")
	if response, err := p.check(t, "/ok"); err != nil || response.GetOkResponse() == nil {
		t.Errorf("defined: %v, %v", response, err)
	}
	if response, err := p.check(t, "/other"); status.Code(err) != codes.Internal {
		t.Errorf("undefined: %v, %v", response, err)
	}
}

// A panic in a policy's builtin or anywhere else is an error of that one check, and on
// record.
func TestCheckRecoversFromPanic(t *testing.T) {
	p := run(t, nil, nil)
	activate(t, p.manager, "")
	query := p.plugin.server.query
	p.plugin.server.query = nil
	if response, err := p.check(t, "/ok"); status.Code(err) != codes.Internal {
		t.Errorf("got %v, %v", response, err)
	}
	if record := p.records(t)[0]; record["allowed"] != false || record["reason"] != decision.ReasonPolicyError || record["error"] == nil {
		t.Errorf("got %v", record)
	}
	p.plugin.server.query = query
	if _, err := p.check(t, "/ok"); err != nil {
		t.Error(err)
	}
}

// A decision that cannot be recorded is refused with a reason of its own, also in
// dry-run.
func TestCheckNotRecorded(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		p := run(t, map[string]any{"dry-run": dryRun}, map[string]any{"path": "/dev/full"})
		activate(t, p.manager, "")
		response, err := p.check(t, "/ok")
		if err != nil || response.GetStatus().GetCode() != int32(codes.PermissionDenied) ||
			headerOf(response, "x-paymesh-reason") != decision.ReasonNotRecorded {
			t.Errorf("got %v, %v", response, err)
		}
	}
}

// A disk that hangs: the call is refused before its deadline, with the reason, and
// nothing piles up behind it.
func TestCheckWithHangingLog(t *testing.T) {
	pipe := socketPath(t)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := run(t, map[string]any{"evaluation-timeout-milliseconds": 200}, map[string]any{"path": pipe, "max_pending": 2})
	activate(t, p.manager, "")
	refused := 0
	for begin := time.Now(); refused < 5 && time.Since(begin) < 20*time.Second; {
		response, err := p.check(t, "/ok")
		if err != nil {
			t.Fatal(err)
		}
		if headerOf(response, "x-paymesh-reason") == decision.ReasonNotRecorded {
			refused++
		} else if refused > 0 {
			t.Error("a call is allowed that the full pipe cannot have recorded")
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	decisionlog.Lookup(p.manager).Stop(ctx)
}

// Dry-run: a refused call passes, and the log has the refusal.
func TestCheckDryRun(t *testing.T) {
	p := run(t, map[string]any{"dry-run": true}, nil)
	activate(t, p.manager, "")
	response, err := p.check(t, "/no")
	if err != nil || response.GetOkResponse() == nil || p.records(t)[0]["allowed"] != false {
		t.Errorf("got %v, %v", response, err)
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{ encoding.Codec }

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal([]byte, any) error   { return nil }
func (rawCodec) Name() string                  { return "proto" }

// A header that is not UTF-8 makes the whole check an error.
func TestCheckRefusesInvalidText(t *testing.T) {
	p := run(t, nil, nil)
	activate(t, p.manager, "")
	// attributes.request.http.headers["x"] = "\xff"
	message := []byte{0x0a, 12, 0x22, 10, 0x12, 8, 0x1a, 6, 0x0a, 1, 'x', 0x12, 1, 0xff}
	valid := append(message[:len(message)-1:len(message)-1], 'y')
	connection := dial(t, "unix://"+p.socket, grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	if err := connection.Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, valid, nil); err != nil {
		t.Errorf("valid: %v", err)
	}
	if err := connection.Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, message, nil); status.Code(err) != codes.Internal {
		t.Errorf("invalid: %v", err)
	}
}

// Checks go on while policies are exchanged: each is answered by one policy, whole.
func TestCheckWhileActivating(t *testing.T) {
	p := run(t, nil, map[string]any{"max_pending": 2})
	activate(t, p.manager, oldStamp)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 25 {
				if response, err := p.check(t, "/ok"); err != nil || response.GetOkResponse() == nil {
					t.Errorf("got %v, %v", response, err)
				}
			}
		})
	}
	for range 10 {
		activate(t, p.manager, newStamp)
		activate(t, p.manager, oldStamp)
	}
	group.Wait()
	if got := len(p.records(t)); got != 200 {
		t.Errorf("%d records of 200 checks", got)
	}
}

// One check after another, with the log.
func BenchmarkCheck(b *testing.B) {
	p := run(b, nil, nil)
	activate(b, p.manager, newStamp)
	asked := request("/ok")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.plugin.server.Check(context.Background(), asked); err != nil {
			b.Fatal(err)
		}
	}
}

// Many at once over the socket.
func BenchmarkCheckParallel(b *testing.B) {
	p := run(b, nil, nil)
	activate(b, p.manager, newStamp)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.check(b, "/ok"); err != nil {
				b.Error(err)
			}
		}
	})
}
