package shadow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/download"
	"github.com/open-policy-agent/opa/v1/plugins"
)

const (
	algorithm = "ES256"
	// longestProblem bounds what a compiler may say.
	longestProblem = 2000
)

// source fetches the candidate's bundle by long poll, as OPA does the live one's.
type source struct {
	downloader *download.Downloader
	user       user
	// last problem that was reported, the zero value for none: one that stays is
	// reported once.
	last problem
}

// user is who candidates are fetched for.
type user interface {
	revision() string
	use(next *candidate)
	trouble(found *problem)
}

func newSource(manager *plugins.Manager, config *Config, asker user) (*source, error) {
	if !slices.Contains(manager.Services(), config.Service) {
		return nil, fmt.Errorf("%s: there is no service %q", PluginName, config.Service)
	}
	key := &bundle.KeyConfig{Key: config.Key, Algorithm: algorithm}
	polling, err := pollingOf(config)
	if err != nil {
		return nil, err
	}
	s := &source{user: asker}
	s.downloader = download.New(*polling, manager.Client(config.Service), config.Resource).
		WithCallback(s.fetched).
		WithBundleName(PluginName).
		WithBundleParserOpts(manager.ParserOptions()).
		WithSizeLimitBytes(config.MaxBundleBytes).
		WithBundleVerificationConfig(bundle.NewVerificationConfig(
			map[string]*bundle.KeyConfig{config.KeyID: key}, config.KeyID, "", nil))
	return s, nil
}

func pollingOf(config *Config) (*download.Config, error) {
	// In this form the package takes its own defaults.
	content, err := json.Marshal(map[string]any{"polling": map[string]any{
		"min_delay_seconds": 1, "max_delay_seconds": 1, "long_polling_timeout_seconds": config.LongPollSeconds,
	}})
	if err != nil {
		return nil, err
	}
	var polling download.Config
	if err := json.Unmarshal(content, &polling); err != nil {
		return nil, err
	}
	return &polling, polling.ValidateAndInjectDefaults()
}

func (s *source) start(ctx context.Context) { s.downloader.Start(ctx) }

func (s *source) stop(ctx context.Context) { s.downloader.Stop(ctx) }

// fetched is called with what a poll brought. An error returned from here would make
// the downloader fetch the same bundle again.
func (s *source) fetched(ctx context.Context, update download.Update) error {
	var status download.HTTPError
	switch {
	case errors.As(update.Error, &status) && status.StatusCode == http.StatusNotFound:
		s.user.use(nil)
		s.settle(problem{})
	case update.Error != nil:
		s.settle(problem{Text: update.Error.Error()})
	case update.Bundle != nil:
		s.settle(s.offer(ctx, update.Bundle))
	}
	return nil
}

// offer returns what is wrong with the bundle, or uses it. One that is in use already
// comes again after the service was away.
func (s *source) offer(ctx context.Context, b *bundle.Bundle) (found problem) {
	revision := b.Manifest.Revision
	defer func() {
		if cause := recover(); cause != nil {
			found = problem{Revision: revision, Text: fmt.Sprintf("it made the compiler panic: %v", cause)}
		}
	}()
	if revision == s.user.revision() {
		return problem{}
	}
	next, err := compile(ctx, b)
	if err != nil {
		return problem{Revision: revision, Text: err.Error()}
	}
	s.user.use(next)
	return problem{}
}

func (s *source) settle(found problem) {
	if len(found.Text) > longestProblem {
		found.Text = found.Text[:longestProblem]
	}
	switch {
	case found == s.last:
		return
	case found == problem{}:
		s.user.trouble(nil)
	default:
		s.user.trouble(&found)
	}
	s.last = found
}
