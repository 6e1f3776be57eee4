package decision

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// detailsHeader is where a gRPC client looks for a google.rpc.Status. An addition
// to the official contract: without it a caller has the reason as text only.
const detailsHeader = "grpc-status-details-bin"

// DefaultReason is the reason of a refusal whose policy gives none.
const DefaultReason = "PERMISSION_DENIED"

// Reason is the refusal's machine-readable reason.
func (d *Decision) Reason() string {
	if reason := d.Meta("reason"); reason != "" || d.Allowed {
		return reason
	}
	return DefaultReason
}

// details is the refusal as a google.rpc.Status, in base64 without padding as
// gRPC asks of a "-bin" header's sender.
func (d *Decision) details(c Context) string {
	info := &errdetails.ErrorInfo{
		Reason:   d.Reason(),
		Domain:   c.Domain,
		Metadata: map[string]string{"decision_id": c.ID},
	}
	packed, err := anypb.New(info)
	if err != nil {
		return "" // cannot be: a message of valid strings
	}
	encoded, err := proto.Marshal(&status.Status{
		Code:    int32(d.code()),
		Message: d.Body,
		Details: []*anypb.Any{packed},
	})
	if err != nil {
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(encoded)
}

// code is the gRPC status that the caller will see: a grpc-status header of the
// policy's, or what Envoy makes of the HTTP status (Envoy's mapping, which is
// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func (d *Decision) code() codes.Code {
	for _, header := range d.Headers {
		if strings.EqualFold(header.Name, "grpc-status") {
			if number, err := strconv.ParseUint(header.Value, 10, 32); err == nil {
				return codes.Code(number)
			}
		}
	}
	switch d.HTTPStatus {
	case http.StatusBadRequest:
		return codes.Internal
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.Unimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return codes.Unavailable
	}
	return codes.Unknown
}
