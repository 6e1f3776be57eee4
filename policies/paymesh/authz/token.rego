package paymesh.authz

# METADATA
# description: >-
#   Some authorization header came along, whatever it says. Services act on what it claims, so it is
#   never passed over.
token_present if _http.headers.authorization

# METADATA
# description: The end user, from a verified token only. `roles` is sorted.
user := {"sub": claims.sub, "tenant": claims.tenant, "roles": sort(claims.roles)} if {
	claims := _claims_at(time.now_ns())
}

# METADATA
# description: ALLOWED for a good token, or what is wrong with it.
token_reason := "ALLOWED" if {
	user
} else := "USER_TOKEN_MISSING" if {
	not token_present
} else := "USER_TOKEN_EXPIRED" if {
	_expired
} else := "USER_TOKEN_INVALID"

# Refused now, good a second before its own end: that it ended is all that is wrong with it.
_expired if {
	end_s := io.jwt.decode(_token)[1].exp
	end_s * 1000000000 <= time.now_ns()
	_claims_at((end_s - 1) * 1000000000)
}

# RFC 7519 claims of a token that is good at `now_ns`: signed with ES256 by a key of the issuer, for
# exactly this audience, with an end, and with claims of a shape that can stand in a header.
_claims_at(now_ns) := claims if {
	[verified, _, claims] := io.jwt.decode_verify(_token, {
		"cert": _users.jwks,
		"alg": "ES256",
		"iss": _users.issuer,
		"aud": _users.audience,
		"time": now_ns,
	})
	verified
	claims.aud == _users.audience
	is_number(claims.exp)
	is_number(claims.iat)
	regex.match(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$`, claims.sub)
	regex.match(`^[a-z][a-z0-9-]{0,62}$`, claims.tenant)
	is_array(claims.roles)
	count(claims.roles) <= 16
	every role in claims.roles {
		regex.match(`^[a-z][a-z0-9_-]{0,31}$`, role)
	}
}

_token := substring(_http.headers.authorization, count("Bearer "), -1) if {
	startswith(_http.headers.authorization, "Bearer ")
}

_users := data.paymesh.environment.users
