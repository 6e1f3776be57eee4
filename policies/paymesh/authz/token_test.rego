package paymesh.authz_test

import data.paymesh.authz

# A call that any user with a known role may make, so that only the token decides.
decide_with_headers(headers) := decide(request(gateway, "/paymesh.payments.v1.PaymentsService/GetPayment", headers, {}))

unsigned(header, claims) := concat(".", [
	base64url.encode_no_pad(json.marshal(header)),
	base64url.encode_no_pad(json.marshal(claims)),
	"",
])

patched(changes) := bearer_with(object.union(claims_of("alice"), changes))

without(names) := bearer_with(object.remove(claims_of("alice"), names))

authorization(value) := {"authorization": value}

test_a_good_token_is_a_user if {
	decide_with_headers(bearer("alice")) == allowed("user-get-payment", "gateway", users.alice)
}

test_roles_are_sorted if {
	user := {"sub": "alice", "tenant": "acme", "roles": ["auditor", "customer"]}
	headers := patched({"roles": ["customer", "auditor"]})
	decide_with_headers(headers) == allowed("user-get-payment", "gateway", user)
}

test_a_token_that_is_not_good_names_no_user[note] if {
	alice := claims_of("alice")
	shared_secret := {"kty": "oct", "k": base64url.encode_no_pad("a shared secret, long enough for it")}
	good := token_with(alice)
	some note, headers in {
		"signed by another key": authorization(concat(" ", ["Bearer", io.jwt.encode_sign(token_header, alice, stranger_key)])),
		"kid of no key": authorization(concat(" ", ["Bearer", io.jwt.encode_sign(object.union(token_header, {"kid": "x"}), alice, stranger_key)])),
		"alg none": authorization(concat(" ", ["Bearer", unsigned({"alg": "none", "typ": "JWT"}, alice)])),
		"alg NONE with kid": authorization(concat(" ", ["Bearer", unsigned({"alg": "NONE", "kid": "issuer-1"}, alice)])),
		"no signature": authorization(concat(" ", ["Bearer", unsigned(token_header, alice)])),
		"shared secret": authorization(concat(" ", ["Bearer", io.jwt.encode_sign({"alg": "HS256", "kid": "issuer-1"}, alice, shared_secret)])),
		"tampered": authorization(concat("", ["Bearer ", substring(good, 0, count(good) - 4), "AAAA"])),
		"twice": authorization(concat("", ["Bearer ", good, ",Bearer ", good])),
		"two spaces": authorization(concat("  ", ["Bearer", good])),
		"another scheme": authorization(concat(" ", ["Basic", good])),
		"another scheme, as long": authorization(concat(" ", ["Digest", good])),
		"no scheme": authorization(good),
		"no token": authorization("Bearer "),
		"empty": authorization(""),
		"another issuer": patched({"iss": "https://issuer.evil.test"}),
		"no issuer": without(["iss"]),
		"another audience": patched({"aud": "paymesh-admin"}),
		"several audiences": patched({"aud": ["paymesh", "other"]}),
		"no audience": without(["aud"]),
		"no end": without(["exp"]),
		"no issue time": without(["iat"]),
		"not yet good": patched({"nbf": now_s + 60}),
		"not yet good, and soon no more": patched({"nbf": now_s + 0.6, "exp": now_s + 1.7}),
		"not yet good and ended": patched({"nbf": now_s + 60, "exp": now_s - 60}),
		"ended, of another issuer": patched({"iss": "https://issuer.evil.test", "exp": now_s - 60}),
		"ended, and its roles are an object": patched({"roles": {"a": "operator"}, "exp": now_s - 60}),
		"ended, by another key": authorization(concat(" ", ["Bearer", io.jwt.encode_sign(token_header, object.union(alice, {"exp": now_s - 60}), stranger_key)])),
		"no sub": without(["sub"]),
		"sub with a line break": patched({"sub": "alice\r\nx-paymesh-roles: operator"}),
		"sub with a comma": patched({"sub": "alice,bob"}),
		"sub is a number": patched({"sub": 7}),
		"sub too long": patched({"sub": letters(129)}),
		"empty tenant": patched({"tenant": ""}),
		"tenant in capitals": patched({"tenant": "ACME"}),
		"something before the tenant": patched({"tenant": " acme"}),
		"something after the tenant": patched({"tenant": "acme\n"}),
		"tenant too long": patched({"tenant": letters(64)}),
		"no tenant": without(["tenant"]),
		"no roles": without(["roles"]),
		"roles are a string": patched({"roles": "operator"}),
		"roles are an object": patched({"roles": {"a": "operator"}}),
		"a role with a comma": patched({"roles": ["customer,operator"]}),
		"a role is a number": patched({"roles": [1]}),
		"a role too long": patched({"roles": [letters(33)]}),
		"too many roles": patched({"roles": [sprintf("r%d", [n]) | some n in numbers.range(1, 17)]}),
	}
	decide_with_headers(headers) == refused("USER_TOKEN_INVALID", "gateway", null)
}

test_names_may_be_as_short_and_as_long_as_they_may_be[note] if {
	roles := ["auditor", "customer"]
	some note, user in {
		"one letter": {"sub": "a", "tenant": "a", "roles": ["a", "customer"]},
		"as many as there may be": {"sub": letters(128), "tenant": letters(63), "roles": [letters(32), "customer"]},
		"every role": {"sub": "alice", "tenant": "acme", "roles": array.concat(roles, [sprintf("r%02d", [n]) | some n in numbers.range(3, 16)])},
	}
	decide_with_headers(patched(user)) == allowed("user-get-payment", "gateway", user)
}

test_a_token_of_another_algorithm_is_no_good_even_with_a_key_for_it if {
	keys := {"keys": [object.remove(issuer_key, ["d"]), object.remove(longer_key, ["d"])]}
	both := json.patch(environment, [{"op": "replace", "path": "/users/jwks", "value": json.marshal(keys)}])
	token := io.jwt.encode_sign({"alg": "ES512", "typ": "JWT", "kid": "issuer-2"}, claims_of("alice"), longer_key)
	asked := request(gateway, "/paymesh.payments.v1.PaymentsService/GetPayment", authorization(concat(" ", ["Bearer", token])), {})
	decision := authz.decision with input as asked
		with data.paymesh.environment as both
		with time.now_ns as now_s * 1000000000
	decision == refused("USER_TOKEN_INVALID", "gateway", null)
}

test_a_token_ends_at_its_last_second[note] if {
	some note, change in {
		"at its end": {"exp": now_s},
		"long ago": {"exp": now_s - 1000000},
		"good for a second": {"exp": now_s - 60, "nbf": now_s - 61},
	}
	decide_with_headers(patched(change)) == refused("USER_TOKEN_EXPIRED", "gateway", null)
}

test_a_token_is_good_until_its_last_second if {
	decide_with_headers(patched({"exp": now_s + 1})) == allowed("user-get-payment", "gateway", users.alice)
}

test_no_token_is_missing_not_invalid if {
	decide_with_headers(no_headers) == refused("USER_TOKEN_MISSING", "gateway", null)
}

test_a_user_without_a_known_role_may_do_nothing[name] if {
	some name, roles in {"unknown": ["visitor"], "none": [], "case": ["customer2"]}
	user := {"sub": "alice", "tenant": "acme", "roles": roles}
	decide_with_headers(patched({"roles": roles})) == refused("USER_ROLE_MISSING", "gateway", user)
}
