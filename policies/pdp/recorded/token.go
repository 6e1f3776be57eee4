package recorded

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// Token is what a record says about an end user's token, in the token's place.
type Token struct {
	Scheme    string                     `json:"scheme"`    // "bearer", "other", or "unknown" if its facts could not be had
	Signature string                     `json:"signature"` // of a bearer token: "valid", "invalid" or "malformed"
	Key       string                     `json:"key"`       // kid of the key that verified it
	Header    map[string]json.RawMessage `json:"header"`
	Claims    map[string]json.RawMessage `json:"claims"`
	Withheld  []string                   `json:"withheld"` // claims and header members that were not recorded
}

// What no policy takes for a token, of a length like one.
const (
	otherScheme    = "Basic eA=="
	malformedToken = "Bearer malformed"
)

var base64url = base64.RawURLEncoding

// Authorization makes a header that is to a policy what the recorded one was: with
// the same claims, and with a signature that verifies if and only if that one did.
func (k *Keys) Authorization(token *Token) (string, error) {
	if token.Scheme != "bearer" {
		return otherScheme, nil
	}
	if token.Signature == "malformed" {
		return malformedToken, nil
	}
	header, err := json.Marshal(nonNil(token.Header))
	if err != nil {
		return "", fmt.Errorf("the token's header: %w", err)
	}
	claims, err := json.Marshal(nonNil(token.Claims))
	if err != nil {
		return "", fmt.Errorf("the token's claims: %w", err)
	}
	signed := base64url.EncodeToString(header) + "." + base64url.EncodeToString(claims)
	signature, err := k.sign(token, signed)
	if err != nil {
		return "", err
	}
	return "Bearer " + signed + "." + base64url.EncodeToString(signature), nil
}

func nonNil(members map[string]json.RawMessage) map[string]json.RawMessage {
	if members == nil {
		return map[string]json.RawMessage{}
	}
	return members
}

// sign makes an ES256 signature (RFC 7518, 3.4). One that has to be refused is
// made with a key that is in no key set.
func (k *Keys) sign(token *Token, signed string) ([]byte, error) {
	key := k.stranger
	switch token.Signature {
	case "invalid":
	case "valid":
		if key = k.find(token.Key); key == nil {
			return nil, fmt.Errorf("the token was verified by the key %q, which this environment does not have", token.Key)
		}
	default:
		return nil, fmt.Errorf("a token's signature is valid, invalid or malformed, not %q", token.Signature)
	}
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}
