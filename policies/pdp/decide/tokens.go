package decide

import (
	"encoding/json"
	"sync"

	"github.com/open-policy-agent/opa/v1/topdown/cache"

	"paymesh.internal/pdp/recorded"
)

// tokensRemembered bounds what is kept of tokens. Questions about a matrix of
// accesses have a handful, those about a log one for each session.
const tokensRemembered = 4096

// tokens makes a header once for all questions with the same facts, so that the
// policy's verification of it is remembered too. Safe for concurrent use.
type tokens struct {
	keys *recorded.Keys
	mu   sync.Mutex
	made map[string]string
}

func newTokens(keys *recorded.Keys) *tokens {
	return &tokens{keys: keys, made: map[string]string{}}
}

// header is the authorization header for the facts in `raw`.
func (t *tokens) header(raw json.RawMessage) (string, error) {
	key := string(raw)
	t.mu.Lock()
	header, ok := t.made[key]
	t.mu.Unlock()
	if ok {
		return header, nil
	}
	var token recorded.Token
	if err := json.Unmarshal(raw, &token); err != nil {
		return "", err
	}
	header, err := t.keys.Authorization(&token)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.made) >= tokensRemembered {
		clear(t.made)
	}
	t.made[key] = header
	return header, nil
}

// verified remembers what io.jwt found of a token and a key set: nothing that
// depends on the time.
func verified() *cache.Config {
	entries := tokensRemembered
	return &cache.Config{InterQueryBuiltinValueCache: cache.InterQueryBuiltinValueCacheConfig{
		MaxNumEntries:     &entries,
		NamedCacheConfigs: map[string]*cache.NamedValueCacheConfig{"io_jwt": {MaxNumEntries: &entries}},
	}}
}
