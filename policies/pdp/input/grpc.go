package input

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// prefixBytes: a compressed flag and a big-endian length stand before a message,
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
const prefixBytes = 5

// grpcBody parses the one message of a unary call. Stricter than the official
// plugin, which reads the first of several messages, ignores grpc-encoding and
// takes any application/grpc-…: here all of these are null, because the service
// may understand the body differently from what the policy was shown.
func (r Reader) grpcBody(headers map[string]string, kind string, body []byte, path []string) (*ast.Term, bool, error) {
	// An empty body also means that Envoy was not told to pack_as_bytes.
	if r.Methods == nil || len(body) == 0 {
		return null, false, nil
	}
	if len(path) != 2 {
		return nil, false, errors.New("invalid parsed path")
	}
	if len(body) < prefixBytes {
		return nil, false, fmt.Errorf("gRPC body of %d bytes, less than %d", len(body), prefixBytes)
	}
	if body[0] != 0 || encoded(headers["grpc-encoding"]) || !protobuf(kind) {
		return null, false, nil
	}
	size := uint64(binary.BigEndian.Uint32(body[1:prefixBytes]))
	content := body[prefixBytes:]
	if size > uint64(len(content)) {
		return null, true, nil
	}
	descriptor, ok := r.Methods[path[0]+"/"+path[1]]
	if !ok || size < uint64(len(content)) {
		return null, false, nil
	}
	decoded := dynamicpb.NewMessage(descriptor)
	if err := proto.Unmarshal(content, decoded); err != nil {
		return nil, false, err
	}
	term, err := protojson(decoded)
	return term, false, err
}

func encoded(encoding string) bool {
	return encoding != "" && encoding != "identity"
}

// protobuf: the subtype is optional and means protobuf if left out; parameters
// may follow.
func protobuf(kind string) bool {
	const grpc, proto = "application/grpc", "application/grpc+proto"
	for _, name := range []string{proto, grpc} {
		if len(kind) >= len(name) && kind[:len(name)] == name {
			rest := kind[len(name):]
			return rest == "" || rest[0] == ';' || rest[0] == ' '
		}
	}
	return false
}
