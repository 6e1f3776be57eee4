package input

import (
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

var update = flag.Bool("update", false, "rewrite the golden documents in testdata")

const transferPath = "/bank.v1.Transfers/Send"

// methods reads testdata/bank.txtpb through a descriptor file, as the plugin does.
func methods(t testing.TB) Methods {
	t.Helper()
	text, err := os.ReadFile("testdata/bank.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := prototext.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	content, err := proto.Marshal(&set)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bank.binpb")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := ReadMethods(path)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// transfer encodes a bank.v1.Transfer from its text form.
func transfer(t testing.TB, text string) []byte {
	t.Helper()
	decoded := dynamicpb.NewMessage(methods(t)["bank.v1.Transfers/Send"])
	if err := prototext.Unmarshal([]byte(text), decoded); err != nil {
		t.Fatal(err)
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// frame puts gRPC's prefix before a message.
func frame(flag byte, message []byte) []byte {
	prefix := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message)))
	return append(prefix, message...)
}

// grpcRequest is a call as Envoy shows it with pack_as_bytes.
func grpcRequest(path string, body []byte, headers ...string) *authv3.CheckRequest {
	all := map[string]string{
		":method": "POST", ":path": path, ":authority": "ledger.mesh",
		"content-type": "application/grpc", "te": "trailers",
	}
	for i := 0; i < len(headers); i += 2 {
		all[headers[i]] = headers[i+1]
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Principal: "spiffe://mesh.test/ns/a/sa/payments"},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "7", Method: "POST", Path: path, Host: "ledger.mesh", Scheme: "https", Protocol: "HTTP/2",
			Headers: all, RawBody: body, Size: int64(len(body)),
		}},
	}}
}

func httpRequest(path, kind, body string, headers ...string) *authv3.CheckRequest {
	request := grpcRequest(path, nil, append([]string{"content-type", kind}, headers...)...)
	request.Attributes.Request.Http.Body = body
	return request
}
