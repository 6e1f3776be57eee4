package decide

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/cache"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/reads"
	"paymesh.internal/pdp/recorded"
)

// Options say what is asked of which policy.
type Options struct {
	Bundle  string
	Queries []string
	Trace   bool
}

// Question is one line of the standard input.
type Question struct {
	ID    string          `json:"id"`
	Input json.RawMessage `json:"input"`
	Token json.RawMessage `json:"token"`
	Time  time.Time       `json:"time"`
}

// Answer is one line of the standard output.
type Answer struct {
	ID      string         `json:"id"`
	Values  map[string]any `json:"values"`
	Partial []string       `json:"partial,omitempty"`
	Trace   string         `json:"trace,omitempty"`
	Error   string         `json:"error,omitempty"`
}

// Engine answers questions. Safe for concurrent use.
type Engine struct {
	tokens  *tokens
	values  cache.InterQueryValueCache
	queries map[string]rego.PreparedEvalQuery
	reads   []*reads.Reads
	order   []string
	trace   bool
}

// NewEngine loads and compiles.
func NewEngine(ctx context.Context, options Options) (*Engine, error) {
	policy, err := candidate.Load(options.Bundle, nil)
	if err != nil {
		return nil, err
	}
	keys, err := recorded.NewKeys()
	if err != nil {
		return nil, err
	}
	environment, err := keys.Environment(policy.Environment())
	if err != nil {
		return nil, err
	}
	store := policy.Store(environment)
	engine := &Engine{
		tokens:  newTokens(keys),
		values:  cache.NewInterQueryValueCache(ctx, verified()),
		queries: map[string]rego.PreparedEvalQuery{},
		order:   options.Queries,
		trace:   options.Trace,
	}
	for _, query := range options.Queries {
		prepared, err := rego.New(
			rego.Query(query), rego.Compiler(policy.Compiler), rego.Store(store),
		).PrepareForEval(ctx)
		if err != nil {
			return nil, fmt.Errorf("--query %s: %w", query, err)
		}
		engine.queries[query] = prepared
		if seen := readsOf(policy, query); seen != nil {
			engine.reads = append(engine.reads, seen)
		}
	}
	return engine, nil
}

// Answer never fails: what goes wrong is part of the answer.
func (e *Engine) Answer(ctx context.Context, line []byte) (answer *Answer) {
	var question Question
	defer func() { // of a builtin, as a decision point does
		if reason := recover(); reason != nil {
			answer = &Answer{ID: question.ID, Error: fmt.Sprintf("panic: %v", reason)}
		}
	}()
	decoder := json.NewDecoder(bytes.NewReader(line))
	if err := decoder.Decode(&question); err != nil {
		return &Answer{Error: fmt.Sprintf("the question is not readable: %v", err)}
	}
	answer = &Answer{ID: question.ID, Values: map[string]any{}}
	if err := e.answer(ctx, &question, answer); err != nil {
		answer.Error = err.Error()
	}
	return answer
}

func (e *Engine) answer(ctx context.Context, question *Question, answer *Answer) error {
	input, err := e.input(question, answer)
	if err != nil {
		return err
	}
	if question.Time.IsZero() {
		question.Time = time.Now()
	}
	var trace bytes.Buffer
	for _, query := range e.order {
		options := []rego.EvalOption{rego.EvalParsedInput(input), rego.EvalTime(question.Time), rego.EvalMetrics(metrics.NoOp()), rego.EvalInterQueryBuiltinValueCache(e.values)}
		var tracer topdown.BufferTracer
		if e.trace {
			options = append(options, rego.EvalQueryTracer(&tracer))
		}
		results, err := e.queries[query].Eval(ctx, options...)
		if e.trace {
			topdown.PrettyTraceWithLocation(&trace, lineage.Full(tracer))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		if len(results) == 1 {
			answer.Values[query] = results[0].Expressions[0].Value
		}
	}
	answer.Trace = trace.String()
	return nil
}

func (e *Engine) input(question *Question, answer *Answer) (ast.Value, error) {
	decoder := json.NewDecoder(bytes.NewReader(question.Input))
	decoder.UseNumber()
	var input any
	if len(question.Input) > 0 {
		if err := decoder.Decode(&input); err != nil {
			return nil, fmt.Errorf("the input is not readable: %w", err)
		}
	}
	answer.Partial = e.partial(input, question.Token)
	if len(question.Token) > 0 && !bytes.Equal(question.Token, []byte("null")) {
		object, ok := input.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the input is no object, so a token has no place in it")
		}
		header, err := e.tokens.header(question.Token)
		if err != nil {
			return nil, err
		}
		input = recorded.WithAuthorization(object, header)
	}
	return ast.InterfaceToValue(input)
}

// batch is how many lines are read before they are answered.
const batch = 512

func (e *Engine) answerAll(ctx context.Context, from io.Reader, to io.Writer) error {
	out := bufio.NewWriterSize(to, 1<<16)
	var waiting [][]byte
	flush := func() error {
		for _, line := range e.answerBatch(ctx, waiting) {
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		waiting = waiting[:0]
		return out.Flush()
	}
	err := lines(from, func(line []byte) error {
		if waiting = append(waiting, line); len(waiting) < batch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func (e *Engine) answerBatch(ctx context.Context, questions [][]byte) [][]byte {
	answers := make([][]byte, len(questions))
	done := make(chan struct{})
	for worker := range parallel {
		go func() {
			for i := worker; i < len(questions); i += parallel {
				answers[i] = encode(e.Answer(ctx, questions[i]))
			}
			done <- struct{}{}
		}()
	}
	for range parallel {
		<-done
	}
	return answers
}
