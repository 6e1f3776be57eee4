package recorded_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"

	"paymesh.internal/pdp/recorded"
)

const jwks = `{"keys":[{"kid":"k1","kty":"EC","crv":"P-256","x":"AA","y":"AA","use":"sig"},{"kid":"k2","kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`

func environment() map[string]any {
	return map[string]any{"users": map[string]any{"issuer": "i", "jwks": jwks}}
}

func keySet(t *testing.T, environment map[string]any) string {
	t.Helper()
	return environment["users"].(map[string]any)["jwks"].(string)
}

func verified(t *testing.T, header, keySet string) any {
	t.Helper()
	token := strings.TrimPrefix(header, "Bearer ")
	results, err := rego.New(
		rego.Query(`io.jwt.decode_verify(input.token, {"cert": input.keys, "time": 0, "aud": "a"})`),
		rego.Input(map[string]any{"token": token, "keys": keySet}),
	).Eval(context.Background())
	if err != nil || len(results) != 1 {
		return err
	}
	return results[0].Expressions[0].Value.([]any)[0]
}

// A token is verified by the made keys if the recorded one was verified by the real,
// whatever its header names; its claims are the recorded ones.
func TestAuthorization(t *testing.T) {
	keys, err := recorded.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	made, err := keys.Environment(environment())
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]json.RawMessage{"aud": json.RawMessage(`"a"`), "exp": json.RawMessage(`1`)}
	for _, test := range []struct {
		token recorded.Token
		want  any
	}{
		{recorded.Token{Signature: "valid", Key: "k1", Header: header(`"ES256"`, `"k1"`)}, true},
		{recorded.Token{Signature: "valid", Key: "k2", Header: header(`"ES256"`, `"k2"`)}, true},
		{recorded.Token{Signature: "valid", Key: "k2", Header: header(`"ES256"`, "")}, true},
		{recorded.Token{Signature: "valid", Key: "k2", Header: header(`"ES256"`, `"unknown"`)}, true},
		{recorded.Token{Signature: "valid", Header: header(`"ES256"`, `"k1"`)}, true},
		{recorded.Token{Signature: "invalid", Header: header(`"ES256"`, `"k1"`)}, false},
		{recorded.Token{Signature: "invalid", Header: header(`"HS256"`, `"k1"`)}, false},
		{recorded.Token{Signature: "invalid", Header: header(`"none"`, "")}, false},
	} {
		test.token.Scheme, test.token.Claims = "bearer", claims
		made, err := keys.Authorization(&test.token)
		if err != nil {
			t.Fatal(err)
		}
		if got := verified(t, made, keySet(t, keysOf(t, keys))); got != test.want {
			t.Errorf("%+v: got %v", test.token, got)
		}
	}
	if keySet(t, made) == jwks || len(environment()) != 1 {
		t.Error("the key set is as it was")
	}
}

func keysOf(t *testing.T, keys *recorded.Keys) map[string]any {
	t.Helper()
	made, err := keys.Environment(environment())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func header(alg, kid string) map[string]json.RawMessage {
	found := map[string]json.RawMessage{"alg": json.RawMessage(alg)}
	if kid != "" {
		found["kid"] = json.RawMessage(kid)
	}
	return found
}

// What is no JSON Web Token is none here either; facts that contradict each other are
// errors.
func TestOddTokens(t *testing.T) {
	keys, _ := recorded.NewKeys()
	for want, token := range map[string]recorded.Token{
		"Basic eA==":       {Scheme: "other"},
		"Bearer malformed": {Scheme: "bearer", Signature: "malformed"},
	} {
		if got, err := keys.Authorization(&token); got != want || err != nil {
			t.Errorf("%+v: %q, %v", token, got, err)
		}
	}
	for _, token := range []recorded.Token{
		{Scheme: "bearer", Signature: "valid", Key: "nobody's"}, {Scheme: "bearer"}, {Scheme: "bearer", Signature: "?"},
	} {
		if got, err := keys.Authorization(&token); err == nil {
			t.Errorf("%+v: %q", token, got)
		}
	}
}

// An environment without a readable key set is left alone; a key can be added.
func TestEnvironment(t *testing.T) {
	keys, _ := recorded.NewKeys()
	for _, odd := range []map[string]any{nil, {}, {"users": 1}, {"users": map[string]any{"jwks": "?"}}} {
		if made, err := keys.Environment(odd); err != nil || recorded.FirstKey(made) != nil {
			t.Errorf("%v: %v, %v", odd, made, err)
		}
	}
	more := recorded.WithKey(environment(), "k3")
	if !recorded.HasKey(more, "k3") || !recorded.HasKey(more, "k1") || recorded.HasKey(environment(), "k3") {
		t.Errorf("got %v", more)
	}
	if !recorded.HasKey(recorded.WithKey(nil, "k"), "k") {
		t.Error("no key in an environment that had none")
	}
}

// Nulls are what was left out, but for a body that could not be read.
func TestErased(t *testing.T) {
	var input map[string]any
	_ = json.Unmarshal([]byte(`{"parsed_body": null, "a": {"b/c": null, "d": [1, null]}, "e": 0}`), &input)
	got := recorded.Erased(input)
	slices.Sort(got)
	if !slices.Equal(got, []string{"/a/b~1c", "/a/d/1"}) {
		t.Errorf("got %v", got)
	}
	with := recorded.WithAuthorization(input, "x")
	if !slices.Equal(recorded.Erased(input), recorded.Erased(with)) || input["attributes"] != nil {
		t.Errorf("got %v", with)
	}
}
