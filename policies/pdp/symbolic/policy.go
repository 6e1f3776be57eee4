package symbolic

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/reads"
	"paymesh.internal/pdp/recorded"
)

// Question is what a record says was asked. Input and Token are JSON.
type Question struct {
	Time     time.Time
	Input    []byte
	Token    []byte // empty or null if there was none
	Erasable bool   // a null in the input stands for something that was left out
}

// Policy answers one kind of question. Safe for concurrent use.
type Policy struct {
	query  rego.PreparedEvalQuery
	reads  *reads.Reads
	keys   *recorded.Keys
	decode func(ast.Value) Answer
	forest *forest
	nonce  string
}

// Decision names a rule whose value is a decision, and how the decision is read.
type Decision struct {
	Entry ast.Ref
	// Results are the members that Decode looks at, as reads.Of wants them.
	Results []string
	// Decode reads the rule's value, nil if it has none.
	Decode func(ast.Value) Answer
}

// NewPolicy prepares a decision of a compiled policy, over a store whose environment
// has the keys.
func NewPolicy(
	ctx context.Context, compiler *ast.Compiler, store storage.Store, keys *recorded.Keys, seen *reads.Reads, decision Decision,
) (*Policy, error) {
	query, err := rego.New(
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(decision.Entry)))),
		rego.Compiler(compiler),
		rego.Store(store),
		rego.GenerateJSON(func(term *ast.Term, _ *rego.EvalContext) (any, error) { return term, nil }),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	random := make([]byte, nonceBytes)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	return &Policy{
		query: query, reads: seen, keys: keys, decode: decision.Decode,
		forest: newForest(), nonce: hex.EncodeToString(random),
	}, nil
}

// Distinct is how many questions had to be evaluated, all others going the way of one
// of them.
func (p *Policy) Distinct() int { return p.forest.size() }

// Scratch is memory that one goroutine uses for one question after the other.
type Scratch struct {
	form      Form
	registers *registers
	time      []byte
}

// NewScratch makes one.
func NewScratch() *Scratch { return &Scratch{registers: newRegisters()} }

// maxPaths bounds the memory: a path takes some kilobytes. A policy with more of them
// tells nearly every question apart, and nothing is gained by remembering.
const maxPaths = 1 << 16

// alwaysChecked paths are compared with a plain evaluation, and then one in checkEvery.
const (
	alwaysChecked = 4096
	checkEvery    = 64
)

// ErrUnreadable means that a question is not JSON.
var ErrUnreadable = errors.New("the input is no JSON")

// Answer gives the decision that Plain would give, in most cases without evaluating.
func (p *Policy) Answer(ctx context.Context, question *Question, scratch *Scratch) (*Answer, error) {
	form := &scratch.form
	scratch.time = strconv.AppendInt(scratch.time[:0], question.Time.UnixNano(), 10)
	form.reset(p.nonce, scratch.time, p.reads.WholeTime)
	if !form.fill(question, p.reads) {
		return nil, ErrUnreadable
	}
	if form.Partial {
		return &Answer{Partial: true}, nil
	}
	if form.strange {
		return p.Plain(ctx, question)
	}
	if known := p.forest.find(form, scratch.registers); known != nil {
		return known, nil
	}
	return p.evaluate(ctx, question, scratch)
}

func (p *Policy) evaluate(ctx context.Context, question *Question, scratch *Scratch) (*Answer, error) {
	paths := p.forest.size()
	if paths >= maxPaths {
		return p.plainUnlessErased(ctx, question, &scratch.form)
	}
	scratch.registers.load(&scratch.form)
	path, answer, err := p.withSymbols(ctx, question, scratch)
	if errors.Is(err, errStrange) {
		return p.plainUnlessErased(ctx, question, &scratch.form)
	}
	if err != nil {
		return nil, err
	}
	if !answer.Partial && (paths < alwaysChecked || paths%checkEvery == 0) {
		plain, err := p.Plain(ctx, question)
		if err != nil {
			return nil, err
		}
		if *plain != *answer {
			return nil, fmt.Errorf("evaluated with symbols the answer is %+v, without them %+v", *answer, *plain)
		}
	}
	// Two ways for one form cannot be told apart, so only the first is remembered.
	if err := p.forest.add(scratch.form.Key, path, answer); err != nil && !errors.Is(err, errTwoWays) {
		return nil, err
	}
	return answer, nil
}

func (p *Policy) plainUnlessErased(ctx context.Context, question *Question, form *Form) (*Answer, error) {
	if form.holdsErased() {
		return &Answer{Partial: true}, nil
	}
	return p.Plain(ctx, question)
}

func (p *Policy) withSymbols(ctx context.Context, question *Question, scratch *Scratch) ([]step, *Answer, error) {
	form := &scratch.form
	e := &evaluation{
		nonce: p.nonce, wholeTime: p.reads.WholeTime, registers: scratch.registers,
		asked: map[string]asked{}, timeless: map[string]timeless{},
	}
	input, err := p.symbolicInput(form, e)
	if err != nil {
		return nil, nil, err
	}
	// The index of rules would compare symbols with constants.
	results, err := p.eval(e.context(ctx), input, question.Time, rego.EvalRuleIndexing(false))
	switch {
	case e.partial:
		return e.path, &Answer{Partial: true}, nil
	case e.failed != nil:
		return nil, nil, e.failed
	case err != nil: // perhaps two values that are one without symbols
		return nil, nil, errStrange
	case len(results) == 0:
		answer := p.decode(nil)
		return e.path, &answer, nil
	}
	term, err := e.plain(results[0].Expressions[0].Value.(*ast.Term))
	if err != nil {
		return nil, nil, errStrange
	}
	answer := p.decode(term.Value)
	return e.path, &answer, nil
}

func (p *Policy) symbolicInput(form *Form, e *evaluation) (ast.Value, error) {
	input, err := decode(form.Key[form.input:])
	if err != nil {
		return nil, err
	}
	var token *recorded.Token
	if err := json.Unmarshal(form.Key[form.token:form.input], &token); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if token != nil {
		if input, err = p.withToken(input, token, e); err != nil {
			return nil, err
		}
	}
	return ast.InterfaceToValue(input)
}

// Plain evaluates, with the question's own values and nothing else.
func (p *Policy) Plain(ctx context.Context, question *Question) (*Answer, error) {
	input, err := decode(question.Input)
	if err != nil {
		return nil, err
	}
	var token *recorded.Token
	if len(question.Token) > 0 {
		if err := json.Unmarshal(question.Token, &token); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
	}
	if token != nil {
		if input, err = p.withToken(input, token, nil); err != nil {
			return nil, err
		}
	}
	value, err := ast.InterfaceToValue(input)
	if err != nil {
		return nil, err
	}
	results, err := p.eval(ctx, value, question.Time)
	if errors.Is(err, candidate.ErrNotRecorded) {
		return nil, err
	}
	if err != nil || len(results) == 0 {
		answer := p.decode(nil)
		return &answer, nil
	}
	answer := p.decode(results[0].Expressions[0].Value.(*ast.Term).Value)
	return &answer, nil
}

// eval turns a panic of a builtin into an error, as the decision point does.
func (p *Policy) eval(
	ctx context.Context, input ast.Value, at time.Time, options ...rego.EvalOption,
) (results rego.ResultSet, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	options = append(options, rego.EvalParsedInput(input), rego.EvalTime(at), rego.EvalMetrics(metrics.NoOp()))
	return p.query.Eval(ctx, options...)
}

// withToken puts a token made of its facts into the input. In an evaluation with
// symbols, its twin without times is remembered.
func (p *Policy) withToken(input any, token *recorded.Token, e *evaluation) (any, error) {
	object, ok := input.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: a token without an input", ErrUnreadable)
	}
	header, err := p.keys.Authorization(token)
	if err != nil {
		// A log is its workload's to write: an odd token is its record's matter alone.
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if e != nil {
		if err := e.remember(header, token, p.keys); err != nil {
			return nil, err
		}
	}
	return recorded.WithAuthorization(object, header), nil
}

func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return value, nil
}
