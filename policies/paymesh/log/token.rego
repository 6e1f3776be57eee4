package paymesh.log

# trap: ok, missing-default: the decision point records an unknown scheme when this is undefined

# METADATA
# description: >-
#   What the decision log keeps of an authorization header, asked with {"authorization": its value}: the
#   claims and how their verification ended, so that a decision can be explained and replayed, and never
#   the token. Asked once for each header and bundle, so it may look at nothing that changes: no time,
#   no request. What a valid token claims its issuer vouches for; whoever made another could have
#   written anything into it, so of that only values of harmless shape are kept.
# entrypoint: true
token := {"scheme": "other"} if {
	not _token
} else := {"scheme": "bearer", "signature": "malformed"} if {
	not _decoded
} else := object.union({"scheme": "bearer", "signature": "valid", "key": _key}, _kept(_whole)) if {
	_key
} else := object.union({"scheme": "bearer", "signature": "invalid"}, _kept(_harmless_of(_whole)))

_recorded_members := {"alg", "kid", "typ"}

_recorded_claims := {"iss", "aud", "sub", "tenant", "roles", "iat", "exp", "nbf", "jti"}

_max_withheld := 32

# As the decision reads it (token.rego of paymesh.authz).
_token := substring(input.authorization, count("Bearer "), -1) if startswith(input.authorization, "Bearer ")

_decoded := io.jwt.decode(_token)

_whole := {
	"header": object.filter(_decoded[0], _recorded_members),
	"claims": object.filter(_decoded[1], _recorded_claims),
}

_harmless_of(parts) := {part: kept |
	some part, members in parts
	kept := {name: value | some name, value in members; _is_harmless_claim(value)}
}

_kept(parts) := object.union(parts, {"withheld": array.slice(sort(withheld), 0, _max_withheld)}) if {
	withheld := {_name(name) |
		some i, part in ["header", "claims"]
		some name in (object.keys(_decoded[i]) - object.keys(parts[part]))
	}
}

# A name is whatever somebody wrote, too.
_name(name) := name if {
	regex.match(`^[A-Za-z_][A-Za-z0-9_.:/-]{0,31}$`, name)
	regex.match(_few_digits, name)
} else := "*"

_is_harmless_claim(value) if _is_harmless_part(value)

_is_harmless_claim(value) if {
	is_array(value)
	count(value) <= 16
	every element in value {
		_is_harmless_part(element)
	}
}

# A time in seconds is one of these, a card number is not.
_is_harmless_part(value) if abs(value) < 1e12

_is_harmless_part(value) if {
	count(value) <= 64
	regex.match(_few_digits, value)
}

# The id of the issuer's key that signed the token. Verified as the decision verifies, but for an
# audience that the token itself names and at the time that it begins: only its signature is in
# question. One that ends before it begins was never good.
_key := [object.get(key, "kid", "") |
	some key in _candidate_keys
	[verified, _, _] := io.jwt.decode_verify(_token, {
		"cert": json.marshal({"keys": [key]}),
		"alg": "ES256",
		"aud": _audience,
		"time": object.get(_decoded[1], "nbf", 0) * 1000000000,
	})
	verified
][0]

# A key id that is known is the only one that counts.
_candidate_keys := _named_keys if {
	count(_named_keys) > 0
} else := _keys

_named_keys := [key |
	some key in _keys
	key.kid == _decoded[0].kid
]

_keys := json.unmarshal(data.paymesh.environment.users.jwks).keys

_audience := _decoded[1].aud[0] if {
	is_array(_decoded[1].aud)
} else := object.get(_decoded[1], "aud", "")
