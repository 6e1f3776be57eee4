package decide

import (
	"encoding/json"
	"fmt"
	"testing"

	"paymesh.internal/pdp/recorded"
)

func newTestTokens(t *testing.T) *tokens {
	t.Helper()
	keys, err := recorded.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	return newTokens(keys)
}

func facts(subject string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(
		`{"scheme":"bearer","signature":"invalid","header":{"alg":"ES256"},"claims":{"sub":%q}}`, subject))
}

func mustHeader(t *testing.T, made *tokens, raw json.RawMessage) string {
	t.Helper()
	header, err := made.header(raw)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

// A signature has chance in it: only a remembered header is twice the same.
func TestSameFactsAreOneToken(t *testing.T) {
	made := newTestTokens(t)
	first := mustHeader(t, made, facts("alice"))
	if again := mustHeader(t, made, facts("alice")); again != first {
		t.Errorf("%s after %s", again, first)
	}
	if other := mustHeader(t, made, facts("bob")); other == first {
		t.Error("two users have one token")
	}
}

func TestTokensRememberedAreBounded(t *testing.T) {
	made := newTestTokens(t)
	for i := range tokensRemembered + 1 {
		mustHeader(t, made, facts(fmt.Sprint(i)))
	}
	if got := len(made.made); got == 0 || got > tokensRemembered {
		t.Errorf("%d tokens are remembered, at most %d may be", got, tokensRemembered)
	}
}

func TestUnreadableFactsAreAnError(t *testing.T) {
	if header, err := newTestTokens(t).header(json.RawMessage(`{"scheme":7}`)); err == nil {
		t.Errorf("made %q of nonsense", header)
	}
}
