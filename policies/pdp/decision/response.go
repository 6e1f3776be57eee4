package decision

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// IDHeader carries the decision's id to the service and, on a refusal, to the
// caller. An addition to the official contract.
const IDHeader = "x-paymesh-decision-id"

// Context is what an answer needs to know besides the decision.
type Context struct {
	// ID of the decision.
	ID string
	// ContentType of the request; a gRPC caller gets an error it can parse.
	ContentType string
	// Domain of the ErrorInfo in it.
	Domain string
}

// Response makes the answer to Envoy.
func (d *Decision) Response(c Context) *authv3.CheckResponse {
	response := &authv3.CheckResponse{DynamicMetadata: d.metadata(c.ID)}
	if d.Allowed {
		response.Status = &status.Status{Code: int32(codes.OK)}
		response.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:                 append(options(d.Headers), ours(IDHeader, c.ID)),
			HeadersToRemove:         d.RemoveRequestHeaders,
			ResponseHeadersToAdd:    options(d.ResponseHeaders),
			QueryParametersToRemove: d.RemoveQueryParameters,
			QueryParametersToSet:    parameters(d.SetQueryParameters),
		}}
		return response
	}
	headers := append(options(d.Headers), ours(IDHeader, c.ID))
	if strings.HasPrefix(c.ContentType, "application/grpc") {
		headers = append(headers, ours(detailsHeader, d.details(c)))
	}
	response.Status = &status.Status{Code: int32(codes.PermissionDenied)}
	response.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: d.HTTPStatus},
		Headers: headers,
		Body:    d.Body,
	}}
	return response
}

// DryRun lets a refused request pass and keeps the metadata, as the official
// plugin's dry-run does.
func DryRun(response *authv3.CheckResponse) {
	if response.GetStatus().GetCode() == int32(codes.OK) {
		return
	}
	response.Status = &status.Status{Code: int32(codes.OK)}
	response.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}
}

// metadata is the policy's own with the decision's id in it.
func (d *Decision) metadata(id string) *structpb.Struct {
	if d.Metadata == nil {
		d.Metadata = &structpb.Struct{Fields: make(map[string]*structpb.Value, 1)}
	}
	d.Metadata.Fields["decision_id"] = structpb.NewStringValue(id)
	return d.Metadata
}

// options makes the policy's headers Envoy's. As in the official contract nothing
// is said about headers that are there already, and Envoy then replaces them.
func options(headers []Header) []*corev3.HeaderValueOption {
	list := make([]*corev3.HeaderValueOption, 0, len(headers)+2)
	for _, header := range headers {
		list = append(list, &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: header.Name, Value: header.Value},
		})
	}
	return list
}

// ours is a header that nobody else may have set.
func ours(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func parameters(pairs []Header) []*corev3.QueryParameter {
	list := make([]*corev3.QueryParameter, 0, len(pairs))
	for _, pair := range pairs {
		list = append(list, &corev3.QueryParameter{Key: pair.Name, Value: pair.Value})
	}
	return list
}
