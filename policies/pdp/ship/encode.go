package ship

import (
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// format is a way to put records into a request, and to read what became of them.
type format interface {
	contentType() string
	encode(records []record) ([]byte, error)
	// rejected is how many records of a request that succeeded were not taken, and why.
	rejected(answer []byte) (count int64, why string)
}

func formatOf(config *Config) format {
	if config.Format == formatNDJSON {
		return ndjson{}
	}
	return otlp{service: config.ServiceName, now: time.Now}
}

// ndjson is the log's own lines.
type ndjson struct{}

func (ndjson) contentType() string { return "application/x-ndjson" }

func (ndjson) encode(records []record) ([]byte, error) {
	var text []byte
	for _, r := range records {
		text = append(append(text, r.line...), '\n')
	}
	return text, nil
}

func (ndjson) rejected([]byte) (int64, string) { return 0, "" }

// otlp is OTLP/HTTP with binary protobuf, as its specification 1.x has it for logs.
type otlp struct {
	service string
	now     func() time.Time
}

func (otlp) contentType() string { return "application/x-protobuf" }

func (o otlp) encode(records []record) ([]byte, error) {
	observed := uint64(o.now().UnixNano())
	logs := make([]*logspb.LogRecord, 0, len(records))
	for _, r := range records {
		severity, name := logspb.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
		if !r.Allowed {
			severity, name = logspb.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
		}
		logs = append(logs, &logspb.LogRecord{
			TimeUnixNano:         uint64(r.Time.UnixNano()),
			ObservedTimeUnixNano: observed,
			SeverityNumber:       severity,
			SeverityText:         name,
			Body:                 text(string(r.line)),
			Attributes: []*commonpb.KeyValue{
				{Key: "decision_id", Value: text(r.DecisionID)},
				{Key: "caller", Value: text(r.Caller)},
				{Key: "rpc", Value: text(r.RPC)},
				{Key: "reason", Value: text(r.Reason)},
				{Key: "allowed", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: r.Allowed}}},
				{Key: "revision", Value: text(r.Revision)},
			},
		})
	}
	return proto.Marshal(&collectorpb.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{
		Resource:  &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text(o.service)}}},
		ScopeLogs: []*logspb.ScopeLogs{{Scope: &commonpb.InstrumentationScope{Name: PluginName}, LogRecords: logs}},
	}}})
}

func (otlp) rejected(answer []byte) (int64, string) {
	var response collectorpb.ExportLogsServiceResponse
	if proto.Unmarshal(answer, &response) != nil {
		return 0, "" // it was a success all the same
	}
	partial := response.GetPartialSuccess()
	return partial.GetRejectedLogRecords(), partial.GetErrorMessage()
}

func text(value string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}
}
