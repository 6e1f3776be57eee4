package benchdecisions

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown/print"

	"paymesh.internal/pdp/policy"
)

const (
	decision         = "data.paymesh.authz.decision"
	maxQuestionBytes = 1 << 20
)

// subject is a policy, activated as the decision point does it, and what it is asked.
type subject struct {
	store     storage.Store
	query     *policy.Query
	questions []question
	asked     int
}

type question struct {
	input  ast.Value
	reason *ast.Term
}

var reasonKey = ast.StringTerm("reason")

// load activates a packed bundle. Its signature is not looked at.
func load(ctx context.Context, path string) (*subject, error) {
	store := inmem.NewWithOpts(inmem.OptRoundTripOnWrite(false)) // as OPA's runtime makes it
	manager, err := plugins.New([]byte("{}"), "bench-decisions", store)
	if err != nil {
		return nil, err
	}
	query := policy.NewQuery(ctx, manager, ast.MustParseBody(decision))
	manager.RegisterCompilerTrigger(func(txn storage.Transaction) { query.Prepare(ctx, txn) })
	if err := manager.Init(ctx); err != nil {
		return nil, err
	}
	if err := activate(ctx, manager, path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &subject{store: store, query: query}, query.Ready()
}

func activate(ctx context.Context, manager *plugins.Manager, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	loaded, err := bundle.NewCustomReader(bundle.NewTarballLoaderWithBaseURL(file, "")).
		WithSkipBundleVerification(true).
		WithLazyLoadingMode(true).
		WithBundleName("paymesh").
		Read()
	if err != nil {
		return err
	}
	params := storage.WriteParams
	params.Context = storage.NewContext()
	return storage.Txn(ctx, manager.Store, params, func(txn storage.Transaction) error {
		compiler := ast.NewCompiler()
		plugins.SetCompilerOnContext(params.Context, compiler)
		return bundle.Activate(&bundle.ActivateOpts{
			Ctx:      ctx,
			Store:    manager.Store,
			Txn:      txn,
			TxnCtx:   params.Context,
			Compiler: compiler,
			Metrics:  metrics.New(),
			Bundles:  map[string]*bundle.Bundle{"paymesh": &loaded},
		})
	})
}

// read takes questions, one {"input": …, "reason": …} a line.
func (s *subject) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxQuestionBytes)
	for lines.Scan() {
		var line struct {
			Input  json.RawMessage `json:"input"`
			Reason string          `json:"reason"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		input, err := ast.ValueFromReader(bytes.NewReader(line.Input))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		s.questions = append(s.questions, question{input, ast.StringTerm(line.Reason)})
	}
	if len(s.questions) == 0 {
		return errors.Join(lines.Err(), fmt.Errorf("%s has no question", path))
	}
	return lines.Err()
}

// ask has so many decisions made and returns what one took on the average.
func (s *subject) ask(ctx context.Context, decisions int) (time.Duration, error) {
	begin := time.Now()
	for range decisions {
		asked := s.questions[s.asked%len(s.questions)]
		s.asked++
		if err := s.askOne(ctx, asked); err != nil {
			return 0, err
		}
	}
	return time.Since(begin) / time.Duration(decisions), nil
}

func (s *subject) askOne(ctx context.Context, asked question) error {
	txn, err := s.store.NewTransaction(ctx)
	if err != nil {
		return err
	}
	defer s.store.Abort(ctx, txn)
	answer, err := s.query.Eval(ctx, txn, asked.input, time.Now(), silent{})
	if err != nil {
		return err
	}
	// Another answer than expected would be another cost.
	object, _ := answer.(ast.Object)
	if object == nil {
		return fmt.Errorf("the decision is no object but %v", answer)
	}
	if reason := object.Get(reasonKey); reason == nil || !reason.Equal(asked.reason) {
		return fmt.Errorf("the decision's reason is %v instead of %v on %v", reason, asked.reason, asked.input)
	}
	return nil
}

type silent struct{}

func (silent) Print(print.Context, string) error { return nil }
