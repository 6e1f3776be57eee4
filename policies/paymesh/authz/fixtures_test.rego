package paymesh.authz_test

import data.paymesh.authz

now_s := 1795000000

gateway := "spiffe://paymesh.internal/ns/paymesh/sa/gateway"

payments := "spiffe://paymesh.internal/ns/paymesh/sa/payments"

statements := "spiffe://paymesh.internal/ns/paymesh/sa/statements"

# The example keys of RFC 7515, appendix A.3, and RFC 7517, appendix A.2: public, and nobody's.
issuer_key := {
	"kty": "EC",
	"crv": "P-256",
	"kid": "issuer-1",
	"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
	"y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
	"d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
}

stranger_key := {
	"kty": "EC",
	"crv": "P-256",
	"kid": "issuer-1",
	"x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
	"y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
	"d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
}

# RFC 7520, section 3.2: good, but not for the algorithm that is asked for.
longer_key := {
	"kty": "EC",
	"crv": "P-521",
	"kid": "issuer-2",
	"x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
	"y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
	"d": "AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJt",
}

environment := {
	"trust_domain": "paymesh.internal",
	"namespace": "paymesh",
	"workloads": ["gateway", "payments", "ledger", "bank-link", "statements"],
	"users": {
		"issuer": "https://issuer.paymesh.internal",
		"audience": "paymesh",
		"jwks": json.marshal({"keys": [object.remove(issuer_key, ["d"])]}),
	},
}

users := {
	"alice": {"sub": "alice", "tenant": "acme", "roles": ["customer"]},
	"audrey": {"sub": "audrey", "tenant": "acme", "roles": ["auditor"]},
	"olivia": {"sub": "olivia", "tenant": "acme", "roles": ["operator"]},
	"nobody": {"sub": "nobody", "tenant": "acme", "roles": ["visitor"]},
}

claims_of(name) := object.union(users[name], {
	"iss": "https://issuer.paymesh.internal",
	"aud": "paymesh",
	"iat": now_s - 10,
	"exp": now_s + 900,
	"jti": "5a4a92b4",
})

token_header := {"alg": "ES256", "typ": "JWT", "kid": "issuer-1"}

token_with(claims) := io.jwt.encode_sign(token_header, claims, issuer_key)

bearer_with(claims) := {"authorization": concat(" ", ["Bearer", token_with(claims)])}

bearer(name) := bearer_with(claims_of(name))

no_headers := {}

# What Envoy sends: every header that is not named here is left out of the fixture.
request(principal, rpc, headers, body) := {
	"attributes": {
		"source": {"principal": principal},
		"request": {"http": {
			"method": "POST",
			"path": rpc,
			"headers": object.union({"content-type": "application/grpc", "te": "trailers"}, headers),
		}},
	},
	"parsed_body": body,
	"truncated_body": false,
}

decide(input_document) := decision if {
	decision := authz.decision with input as input_document
		with data.paymesh.environment as environment
		with time.now_ns as now_s * 1000000000
}

# n times the letter a.
letters(n) := concat("", [letter | some _ in numbers.range(1, n); letter := "a"])

# `user` is null when there is none, here and below.
allowed(grant, caller, user) := {
	"allowed": true,
	"reason": "ALLOWED",
	"grant": grant,
	"headers": object.union(_user_headers(user), {
		"x-paymesh-caller": concat("", ["spiffe://paymesh.internal/ns/paymesh/sa/", caller]),
		"x-paymesh-grant": grant,
	}),
	"request_headers_to_remove": [name |
		user == null
		some name in ["x-paymesh-user", "x-paymesh-tenant", "x-paymesh-roles"]
	],
	"dynamic_metadata": {"reason": "ALLOWED", "grant": grant, "caller": caller, "user": _sub(user)},
	"user": user,
}

refused(reason, caller, user) := {
	"allowed": false,
	"reason": reason,
	"headers": {"x-paymesh-reason": reason},
	"body": concat(": ", [reason, authz.reasons[reason].sentence]),
	"http_status": authz.reasons[reason].http_status,
	"dynamic_metadata": {"reason": reason, "grant": "", "caller": caller, "user": _sub(user)},
	"user": user,
}

_sub(user) := user.sub if {
	user != null
} else := ""

_user_headers(user) := {
	"x-paymesh-user": user.sub,
	"x-paymesh-tenant": user.tenant,
	"x-paymesh-roles": concat(",", user.roles),
} if {
	user != null
} else := {}
