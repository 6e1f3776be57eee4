package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const orders = `{"amount": 12345678901234567890, "items": ["a", 1.50, null]}`

var (
	hundred = `account_id: "a1" amount: 100`
	multi   = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: application/json\r\n\r\n{\"n\":1}\r\n--b--\r\n"
)

// documents are the requests whose whole input is kept in testdata.
func documents(t *testing.T) map[string]*authv3.CheckRequest {
	one := frame(0, transfer(t, hundred))
	return map[string]*authv3.CheckRequest{
		"empty_request":                {},
		"every_attribute":              everyAttribute(),
		"grpc_unary":                   grpcRequest(transferPath, one),
		"grpc_server_stream":           grpcRequest("/bank.v1.Transfers/Watch", one),
		"grpc_zero_length_message":     grpcRequest(transferPath, frame(0, nil)),
		"grpc_no_body":                 grpcRequest(transferPath, nil),
		"grpc_nested":                  grpcRequest(transferPath, frame(0, transfer(t, `legs {amount: -5 kind: KIND_CREDIT} labels {key: 3 value: 0.5} note: "\377" tags: ["x"]`))),
		"grpc_compressed_flag":         grpcRequest(transferPath, frame(1, transfer(t, hundred))),
		"grpc_encoding_header":         grpcRequest(transferPath, one, "grpc-encoding", "gzip"),
		"grpc_encoding_identity":       grpcRequest(transferPath, one, "grpc-encoding", "identity"),
		"grpc_truncated":               grpcRequest(transferPath, one[:len(one)-1]),
		"grpc_partial_body_header":     grpcRequest(transferPath, one, partialBodyHeader, "true"),
		"grpc_two_messages":            grpcRequest(transferPath, append(bytes.Clone(one), frame(0, transfer(t, `amount: 1000000`))...)),
		"grpc_trailing_byte":           grpcRequest(transferPath, append(bytes.Clone(one), 0)),
		"grpc_client_stream":           grpcRequest("/bank.v1.Transfers/Upload", one),
		"grpc_client_cert":             grpcRequest(transferPath, one, clientCertHeader, "By=spiffe://a/b;Hash=ab;URI=spiffe://a/c"),
		"grpc_unknown_method":          grpcRequest("/bank.v1.Transfers/Steal", one),
		"grpc_unknown_service":         grpcRequest("/bank.v2.Transfers/Send", one),
		"grpc_json_codec":              grpcRequest(transferPath, frame(0, []byte(orders)), "content-type", "application/grpc+json"),
		"grpc_web_text":                grpcRequest(transferPath, one, "content-type", "application/grpc-web-text"),
		"grpc_proto_codec":             grpcRequest(transferPath, one, "content-type", "application/grpc+proto; charset=x"),
		"path_double_slash":            grpcRequest("//bank.v1.Transfers//Send", nil),
		"path_escaped_slash":           grpcRequest("/bank.v1.Transfers%2FSend", one),
		"path_semicolon":               grpcRequest("/bank.v1.Transfers/Send;x=1", one),
		"path_fragment":                grpcRequest("/bank.v1.Transfers/Send#top", one),
		"path_trailing_slash":          grpcRequest("/bank.v1.Transfers/Send/", nil),
		"path_dots":                    grpcRequest("/bank.v1.Other/../bank.v1.Transfers/Send", nil),
		"path_query":                   grpcRequest("/bank.v1.Transfers/Send?a=1&a=2&b=%2F&c", one),
		"path_second_question_mark":    httpRequest("/a?b=c?d", "", ""),
		"path_without_slash":           httpRequest("a", "", ""),
		"path_not_utf8":                httpRequest("/%ff", "", ""),
		"headers_duplicate":            httpRequest("/a", "text/plain", "x", "x-role", "user,admin", "cookie", "a=1; b=2"),
		"http_json":                    httpRequest("/orders", "application/json; charset=utf-8", orders),
		"http_json_empty":              httpRequest("/orders", "application/json", ""),
		"http_json_truncated":          httpRequest("/orders", "application/json", orders, "content-length", "1000"),
		"http_json_over_grpc":          httpRequest("/orders", "application/json,application/grpc", orders),
		"http_form":                    httpRequest("/f", "application/x-www-form-urlencoded", "a=1&a=2&b=%20"),
		"http_multipart":               httpRequest("/f", "multipart/form-data; boundary=b", multi),
		"http_multipart_no_boundary":   httpRequest("/f", "multipart/form-data", multi),
		"http_text":                    httpRequest("/t", "text/plain", "hello"),
		"http_json_in_raw_body":        withRawBody(httpRequest("/orders", "application/json", ""), orders),
		"header_value_that_looks_json": httpRequest("/t", "text/plain", "", "x", `{"a":"\u0000"}`),
	}
}

// Documents: each request's whole input is what testdata says.
func TestDocuments(t *testing.T) {
	reader := Reader{Methods: methods(t)}
	for name, request := range documents(t) {
		t.Run(name, func(t *testing.T) {
			document, err := reader.Document(request)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", name+".json"), document)
		})
	}
}

// SkipBody: the two body keys are absent, as with the official plugin.
func TestSkipBody(t *testing.T) {
	document, err := Reader{Methods: methods(t), SkipBody: true}.Document(grpcRequest(transferPath, []byte{9}))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*ast.Term{keyParsedBody, keyTruncatedBody} {
		if document.(ast.Object).Get(key) != nil {
			t.Errorf("%v is in the document", key)
		}
	}
}

// Unreadable: what cannot be parsed is refused before any policy is asked.
func TestUnreadable(t *testing.T) {
	one := frame(0, transfer(t, hundred))
	for name, request := range map[string]*authv3.CheckRequest{
		"bad escape":               httpRequest("/a%zz", "", ""),
		"bad query escape":         httpRequest("/a?b=%zz", "", ""),
		"semicolon in query":       httpRequest("/a?b=1;c=2", "", ""),
		"bad JSON":                 httpRequest("/a", "application/json", `{"a":`),
		"JSON with more behind it": httpRequest("/a", "application/json", `{} {}`),
		"bad content-length":       httpRequest("/a", "application/json", `{}`, "content-length", "x"),
		"bad form":                 httpRequest("/a", "application/x-www-form-urlencoded", "%zz"),
		"bad multipart":            httpRequest("/a", "multipart/form-data; boundary=b", "--b\r\nx"),
		"bad media type":           httpRequest("/a", "multipart/form-data; =", "x"),
		"bad JSON part":            httpRequest("/a", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Type: application/json\r\n\r\n{\r\n--b--\r\n"),
		"less than a prefix":       grpcRequest(transferPath, []byte{0, 0, 0}),
		"message is garbage":       grpcRequest(transferPath, frame(0, []byte{0xff, 0xff})),
		"string is not UTF-8":      grpcRequest(transferPath, frame(0, []byte{0x0a, 1, 0xff})),
		"body, but no method path": grpcRequest("/bank.v1.Transfers/Send/", one),
		"body, double slash":       grpcRequest("//bank.v1.Transfers//Send", one),
		"two URIs":                 grpcRequest(transferPath, one, clientCertHeader, "By=spiffe://a/b;Hash=ab;URI=spiffe://a/c;URI=spiffe://a/d"),
		"one URI twice":            grpcRequest(transferPath, one, clientCertHeader, "URI=spiffe://a/c;URI=spiffe://a/c"),
	} {
		t.Run(name, func(t *testing.T) {
			document, err := Reader{Methods: methods(t)}.Document(request)
			if !errors.Is(err, ErrUnreadable) {
				t.Errorf("got %v, %v", document, err)
			}
		})
	}
}

func withRawBody(request *authv3.CheckRequest, body string) *authv3.CheckRequest {
	request.Attributes.Request.Http.RawBody = []byte(body)
	return request
}

func everyAttribute() *authv3.CheckRequest {
	address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Protocol: corev3.SocketAddress_UDP, Address: "127.0.0.1",
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 50051},
	}}}
	metadata := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		"envoy.filters.http.jwt_authn": {Fields: map[string]*structpb.Value{
			"sub": structpb.NewStringValue("alice"), "level": structpb.NewNumberValue(1.5), "none": structpb.NewNullValue(),
		}},
	}}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: address, Service: "s", Labels: map[string]string{"l": "1"},
			Principal: "spiffe://mesh.test/ns/a/sa/payments", Certificate: "PEM"},
		Destination: &authv3.AttributeContext_Peer{Address: address, Principal: "spiffe://mesh.test/ns/a/sa/ledger"},
		Request: &authv3.AttributeContext_Request{
			Time: &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 5},
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "1", Method: "GET", Path: "/p?q=1#f", Host: "h", Scheme: "https", Query: "q=1", Fragment: "f",
				Size: -1, Protocol: "HTTP/2", Body: "text",
				HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
					{Key: "x", Value: "1"}, {Key: "x", RawValue: []byte{0xff, 0xfe}},
				}},
			},
		},
		ContextExtensions:    map[string]string{"listener": "mesh"},
		MetadataContext:      metadata,
		RouteMetadataContext: metadata,
		TlsSession:           &authv3.AttributeContext_TLSSession{Sni: "ledger.mesh"},
	}}
}

func compare(t *testing.T, path string, document ast.Value) {
	t.Helper()
	data, err := ast.JSON(document)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s", path, got)
	}
}
