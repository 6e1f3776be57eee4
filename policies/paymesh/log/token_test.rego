package paymesh.log_test

import data.paymesh.authz_test.bearer
import data.paymesh.authz_test.bearer_with
import data.paymesh.authz_test.claims_of
import data.paymesh.authz_test.environment
import data.paymesh.authz_test.issuer_key
import data.paymesh.authz_test.now_s
import data.paymesh.authz_test.stranger_key
import data.paymesh.authz_test.token_header
import data.paymesh.log

facts(headers) := token if {
	token := log.token with input as headers with data.paymesh.environment as environment
}

signed(header, claims, key) := {"authorization": concat(" ", ["Bearer", io.jwt.encode_sign(header, claims, key)])}

# Whoever has no key of the issuer's writes this.
forged(header, claims) := signed(header, claims, stranger_key)

alice := claims_of("alice")

test_of_a_good_token_its_claims_and_the_key_are_kept if {
	facts(bearer("alice")) == {
		"scheme": "bearer",
		"signature": "valid",
		"key": "issuer-1",
		"header": token_header,
		"claims": alice,
		"withheld": [],
	}
}

test_a_token_that_has_ended_or_is_for_others_is_signed_all_the_same[note] if {
	some note, change in {
		"ended": {"exp": 1000},
		"ended at once": {"exp": 1},
		"not yet begun": {"nbf": now_s + 10000, "exp": now_s + 20000},
		"another audience": {"aud": "others"},
		"several audiences": {"aud": ["others", "paymesh"]},
		"a list of one audience": {"aud": ["others"]},
		"another issuer": {"iss": "https://elsewhere"},
	}
	found := facts(bearer_with(object.union(alice, change)))
	found.signature == "valid"
	found.claims == object.union(alice, change)
}

test_a_token_without_end_or_audience_is_signed_all_the_same[note] if {
	some missing in [["exp"], ["aud"], ["exp", "aud", "iat"]]
	some begin in [{}, {"nbf": now_s}]
	note := [missing, begin]
	claims := object.union(object.remove(alice, missing), begin)
	found := facts(bearer_with(claims))
	found.signature == "valid"
	found.claims == claims
}

test_other_claims_and_header_members_are_named_and_no_more if {
	names := [
		"email",
		"_",
		"abcdefghijklmnopqrstuvwxyzabcdef",
		"abcdefghijklmnopqrstuvwxyzabcdefg",
		"c1234567",
		"c12345678",
		"4111",
		"a b",
	]
	claims := object.union(alice, {name: "4111" | some name in names})
	found := facts(signed(object.union(token_header, {"x5t": "abc"}), claims, issuer_key))
	found.signature == "valid"
	found.claims == alice
	found.header == token_header
	found.withheld == ["*", "_", "abcdefghijklmnopqrstuvwxyzabcdef", "c1234567", "email", "x5t"]
}

test_a_flood_of_claims_is_cut_short if {
	claims := object.union(alice, {sprintf("c%d", [i]): 1 | some i in numbers.range(1, 100)})
	count(facts(bearer_with(claims)).withheld) == 32
}

test_of_a_forged_token_only_harmless_values_are_kept if {
	claims := {
		"iss": "https://issuer.paymesh.internal",
		"aud": ["paymesh", "others"],
		"sub": "4111 1111 1111 1111",
		"tenant": _letters(65),
		"roles": _copies(17),
		"iat": 4111111111111111,
		"exp": now_s + 900,
		"nbf": {"a": 1},
		"jti": [["a"]],
	}
	facts(forged(token_header, claims)) == {
		"scheme": "bearer",
		"signature": "invalid",
		"header": token_header,
		"claims": object.filter(claims, {"iss", "aud", "exp"}),
		"withheld": ["iat", "jti", "nbf", "roles", "sub", "tenant"],
	}
}

_letters(count) := concat("", [letter | some i in numbers.range(1, count); letter := "a"])

_copies(count) := [role | some i in numbers.range(1, count); role := "customer"]

test_what_is_harmless_in_a_forged_token[note] if {
	some note, [claims, withheld] in {
		"64 characters": [{"sub": _letters(64)}, []],
		"65 characters": [{"sub": _letters(65)}, ["sub"]],
		"seven digits": [{"sub": "1234-567"}, []],
		"eight digits": [{"sub": "1234-5678"}, ["sub"]],
		"16 roles": [{"roles": _copies(16)}, []],
		"17 roles": [{"roles": _copies(17)}, ["roles"]],
		"an odd role": [{"roles": ["customer", "4111-1111"]}, ["roles"]],
		"a long number": [{"exp": 999999999999}, []],
		"a longer number": [{"exp": 1000000000000}, ["exp"]],
		"a long negative number": [{"exp": -1000000000000}, ["exp"]],
		"no value": [{"sub": null, "exp": true}, ["exp", "sub"]],
	}
	found := facts(forged(token_header, claims))
	found.signature == "invalid"
	found.withheld == withheld
	found.claims == object.remove(claims, withheld)
}

test_a_signature_is_valid_only_as_the_decision_takes_it[note] if {
	some note, headers in {
		"another key": forged(token_header, alice),
		"no algorithm": {"authorization": sprintf("Bearer %s.%s.", [
			base64url.encode_no_pad(`{"alg":"none","kid":"issuer-1"}`),
			base64url.encode_no_pad(json.marshal(alice)),
		])},
		"an extension that must be understood": signed(object.union(token_header, {"crit": ["x"], "x": 1}), alice, issuer_key),
	}
	found := facts(headers)
	found.signature == "invalid"
	not found.key
	found.claims == object.remove(alice, [])
}

test_the_key_that_the_token_names_is_the_only_one_that_counts if {
	both := json.patch(environment, [{"op": "replace", "path": "/users/jwks", "value": json.marshal({"keys": [
		object.union(stranger_key, {"kid": "issuer-2"}),
		issuer_key,
	]})}])
	found := {note: token |
		some note, kid in {"right": "issuer-1", "wrong": "issuer-2", "unknown": "issuer-3"}
		headers := signed(object.union(token_header, {"kid": kid}), alice, issuer_key)
		token := log.token with input as headers with data.paymesh.environment as both
	}
	found.right.key == "issuer-1"
	found.unknown.key == "issuer-1"
	found.wrong.signature == "invalid"
}

test_what_is_no_token_is_not_kept[header] if {
	some header, want in {
		"Basic YWxpY2U6c2VjcmV0": {"scheme": "other"},
		"bearer abc": {"scheme": "other"},
		"": {"scheme": "other"},
		"Bearer ": {"scheme": "bearer", "signature": "malformed"},
		"Bearer abc": {"scheme": "bearer", "signature": "malformed"},
		"Bearer a.b.c": {"scheme": "bearer", "signature": "malformed"},
	}
	facts({"authorization": header}) == want
}

test_without_keys_no_signature_is_valid if {
	found := log.token with input as bearer("alice") with data.paymesh.environment as {}
	found.signature == "invalid"
}
