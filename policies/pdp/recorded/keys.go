// Package recorded turns a recorded decision back into the question that was
// asked. A record holds no secret, so a token is made anew from what the record
// says about it, signed by a key that is made here; the key sets that the policy
// reads are exchanged for those of the made keys. Such a token is worth nothing
// anywhere else.
package recorded

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

// Keys are made in the place of a token issuer's, with the issuer's key ids. Safe
// for concurrent use.
type Keys struct {
	// stranger is in no key set.
	stranger *ecdsa.PrivateKey
	mu       sync.Mutex
	made     map[string]*ecdsa.PrivateKey
	first    string
}

// NewKeys makes an empty set.
func NewKeys() (*Keys, error) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Keys{stranger: stranger, made: map[string]*ecdsa.PrivateKey{}}, nil
}

// find is the key that stands in for the issuer's of that id; with no id, for the
// issuer's first.
func (k *Keys) find(id string) *ecdsa.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id == "" {
		id = k.first
	}
	return k.made[id]
}

func (k *Keys) of(id string) (*ecdsa.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.made[id]; key != nil {
		return key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if len(k.made) == 0 {
		k.first = id
	}
	k.made[id] = key
	return key, nil
}

// Environment is data.paymesh.environment with made keys in the place of the
// issuer's: the same ids, uses and order. One without a readable key set is
// returned as it is.
func (k *Keys) Environment(environment map[string]any) (map[string]any, error) {
	set := keySet(environment)
	if set == nil {
		return environment, nil
	}
	for _, member := range set {
		if err := k.exchange(member); err != nil {
			return nil, err
		}
	}
	return withKeySet(environment, set), nil
}

// keySet is nil if there is none that can be read.
func keySet(environment map[string]any) []map[string]any {
	users, _ := environment["users"].(map[string]any)
	text, _ := users["jwks"].(string)
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &set) != nil {
		return nil
	}
	return set.Keys
}

func withKeySet(environment map[string]any, set []map[string]any) map[string]any {
	jwks, err := json.Marshal(map[string]any{"keys": set})
	if err != nil {
		panic(fmt.Sprintf("a key set that came from JSON: %v", err))
	}
	users, _ := environment["users"].(map[string]any)
	users, environment = cloned(users), cloned(environment)
	users["jwks"] = string(jwks)
	environment["users"] = users
	return environment
}

func cloned(object map[string]any) map[string]any {
	if object == nil {
		return map[string]any{}
	}
	return maps.Clone(object)
}

func (k *Keys) exchange(member map[string]any) error {
	id, _ := member["kid"].(string)
	key, err := k.of(id)
	if err != nil {
		return err
	}
	point, err := key.PublicKey.Bytes() // 4, then x and y (SEC 1, 2.3.3)
	if err != nil {
		return fmt.Errorf("a key made here: %w", err)
	}
	member["kty"], member["crv"] = "EC", "P-256"
	member["x"] = base64url.EncodeToString(point[1:33])
	member["y"] = base64url.EncodeToString(point[33:])
	return nil
}

// HasKey says whether the issuer's key set of an environment has a key of that id.
func HasKey(environment map[string]any, id string) bool {
	for _, member := range keySet(environment) {
		if member["kid"] == id {
			return true
		}
	}
	return false
}

// WithKey is the environment with one more key in the issuer's set.
func WithKey(environment map[string]any, id string) map[string]any {
	set := append(keySet(environment), map[string]any{"kid": id})
	return withKeySet(environment, set)
}

// FirstKey is the id of the first key in the issuer's set; nil if there is none.
func FirstKey(environment map[string]any) any {
	for _, member := range keySet(environment) {
		return member["kid"]
	}
	return nil
}
