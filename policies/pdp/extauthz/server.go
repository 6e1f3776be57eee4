package extauthz

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/uuid"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"paymesh.internal/pdp/decision"
	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/input"
	"paymesh.internal/pdp/policy"
)

const (
	// answerMargin is kept of the deadline for the way back: a refusal that says why
	// is worth more than a deadline that passes.
	answerMargin = 30 * time.Millisecond
	// failureRecordTimeout bounds the record of a check that has failed already,
	// perhaps because its deadline passed.
	failureRecordTimeout = 100 * time.Millisecond
)

// server is envoy.service.auth.v3.Authorization.
type server struct {
	authv3.UnimplementedAuthorizationServer

	store    storage.Store
	query    *policy.Query
	reader   input.Reader
	recorder recorder
	logger   logging.Logger
	metrics  *checkMetrics
	question string
	timeout  time.Duration
	dryRun   bool
	// domain of the ErrorInfo; the active bundle's trust domain unless configured.
	domain atomic.Pointer[string]
}

// Check decides on one request. An error (no policy, an undefined or illegal
// decision, a timeout) is a gRPC error, on which Envoy fails closed: it must not
// look like a decision of the policy's.
func (s *server) Check(ctx context.Context, request *authv3.CheckRequest) (response *authv3.CheckResponse, err error) {
	begin := time.Now()
	id := uuid.NewString()
	defer func() {
		if cause := recover(); cause != nil {
			s.logger.Error("Check %s panicked: %v", id, cause)
			response, err = nil, status.Error(codes.Internal, "check failed, decision "+id)
		}
		s.metrics.observe(time.Since(begin), err)
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeout)
	defer cancel()

	record := newRecord(id, begin, s.question, request)
	given, err := s.decide(ctx, request, record)
	if err != nil {
		return nil, s.failed(ctx, record, err)
	}
	fillFrom(record, given)
	recorded := s.record(ctx, record)
	if recorded != nil {
		s.logger.Error("Decision %s is refused: %v.", id, recorded)
		given = decision.NotRecorded()
	}
	response = given.Response(decision.Context{
		ID:          id,
		ContentType: request.GetAttributes().GetRequest().GetHttp().GetHeaders()["content-type"],
		Domain:      *s.domain.Load(),
	})
	if s.dryRun && recorded == nil {
		decision.DryRun(response)
	}
	return response, nil
}

// decide asks the policy and notes in the record what was asked of which policy. A
// panic is an error like another, on record too.
func (s *server) decide(ctx context.Context, request *authv3.CheckRequest, record *decisionlog.Record) (given *decision.Decision, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			given, err = nil, fmt.Errorf("panic: %v", cause)
		}
	}()
	document, err := s.reader.Document(request)
	if errors.Is(err, input.ErrUnreadable) {
		record.Error = err.Error()
		record.Revision = s.recorder.Revision()
		return decision.Unreadable(), nil
	}
	if err != nil {
		return nil, err
	}
	answer, err := s.ask(ctx, document, record)
	if err != nil {
		return nil, err
	}
	return decision.Parse(answer)
}

func (s *server) ask(ctx context.Context, document ast.Value, record *decisionlog.Record) (ast.Value, error) {
	txn, err := s.store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	defer s.store.Abort(ctx, txn)
	// From here to the end of the transaction no other policy can be activated.
	record.Revision = s.recorder.Revision()
	if err := s.recorder.Refusal(); err != nil {
		return nil, err
	}
	begin := time.Now()
	answer, err := s.query.Eval(ctx, txn, document, record.Time, policy.LogPrints{Logger: s.logger})
	record.Evaluation = time.Since(begin)
	record.Input, record.Result = document, answer
	s.recorder.Redact(ctx, txn, record)
	return answer, err
}

var errTimeout = fmt.Errorf("check took too long: %w", context.DeadlineExceeded)

// record waits for the log until shortly before the check's own deadline.
func (s *server) record(ctx context.Context, record *decisionlog.Record) error {
	deadline, _ := ctx.Deadline() // Check has set one
	ctx, cancel := context.WithDeadlineCause(ctx, deadline.Add(-min(answerMargin, s.timeout/4)), errTimeout)
	defer cancel()
	return s.recorder.Record(ctx, record)
}

// failed records and reports a check without a decision. What went wrong goes to
// the log; Envoy, and through it perhaps a caller, learns the id alone.
func (s *server) failed(ctx context.Context, record *decisionlog.Record, err error) error {
	record.Allowed, record.Reason, record.Error = false, decision.ReasonPolicyError, err.Error()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureRecordTimeout)
	defer cancel()
	if recordErr := s.recorder.Record(ctx, record); recordErr != nil {
		s.logger.Error("Failed check %s is not in the decision log: %v.", record.DecisionID, recordErr)
	}
	s.logger.Error("Check %s failed: %v.", record.DecisionID, err)
	code := codes.Internal
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, policy.ErrNotLoaded):
		code = codes.Unavailable
	}
	return status.Error(code, "check failed, decision "+record.DecisionID)
}

func newRecord(id string, begin time.Time, question string, request *authv3.CheckRequest) *decisionlog.Record {
	return &decisionlog.Record{
		DecisionID: id,
		Time:       begin,
		Caller:     request.GetAttributes().GetSource().GetPrincipal(),
		RPC:        methodIn(request.GetAttributes().GetRequest().GetHttp().GetPath()),
		PolicyPath: question,
	}
}

func fillFrom(record *decisionlog.Record, given *decision.Decision) {
	record.Allowed = given.Allowed
	record.Reason = given.Reason()
	record.Grant = given.Meta("grant")
	record.User = given.User()
}
