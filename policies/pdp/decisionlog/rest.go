package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/plugins/logs"

	"paymesh.internal/pdp/decision"
)

var errNeedsTransaction = errors.New("it depends on input and data together, which it cannot be asked about for a REST decision")

// Log records a decision of OPA's REST API; it is called if decision_logs.plugin
// names this plugin. An error becomes the answer, so that here too a decision
// that is not recorded, or comes from a rolled-back policy, is not given.
func (p *Plugin) Log(ctx context.Context, event logs.EventV1) error {
	if err := p.Refusal(); err != nil {
		return err
	}
	record := &Record{
		DecisionID: event.DecisionID,
		Time:       event.Timestamp,
		Revision:   p.Revision(),
		PolicyPath: event.Path,
		Evaluation: evaluation(event.Metrics),
	}
	if err := fill(record, event); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	if event.Error != nil {
		record.Error, record.Reason = event.Error.Error(), decision.ReasonPolicyError
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.wait())
	defer cancel()
	record.Mask = p.mask(ctx, nil, record.Input)
	return p.Record(ctx, record)
}

// fill reads input and result, of which paymesh/objects/decision is the model:
// input {caller, user, action, object}, result {allowed, reason}.
func fill(record *Record, event logs.EventV1) error {
	input, err := valueOf(event.Input)
	if err != nil {
		return err
	}
	result, err := valueOf(event.Result)
	if err != nil {
		return err
	}
	record.Input, record.Result = input, result
	record.Caller = text(field(input, "caller"))
	record.RPC = text(field(input, "action"))
	record.User = field(input, "user")
	record.Reason = text(field(result, "reason"))
	record.Grant = text(field(result, "grant"))
	allowed, ok := field(result, "allowed").(ast.Boolean)
	if !ok {
		allowed, _ = result.(ast.Boolean)
	}
	record.Allowed = bool(allowed)
	return nil
}

func valueOf(data *any) (ast.Value, error) {
	if data == nil {
		return nil, nil
	}
	return ast.InterfaceToValue(*data)
}

func field(value ast.Value, name string) ast.Value {
	object, ok := value.(ast.Object)
	if !ok {
		return nil
	}
	if term := object.Get(ast.InternedTerm(name)); term != nil {
		return term.Value
	}
	return nil
}

func text(value ast.Value) string {
	s, _ := value.(ast.String)
	return string(s)
}

// evaluation time as OPA's metrics have it.
func evaluation(metrics map[string]any) time.Duration {
	nanoseconds, _ := metrics["timer_rego_query_eval_ns"].(int64)
	return time.Duration(nanoseconds)
}
