package paymesh.authz

# The reason code for one amount that has to be positive and at most its currency's limit.
_amount_reason(money, limits) := "BODY_UNREADABLE" if {
	not _is_minor_units(money)
} else := "CURRENCY_HAS_NO_LIMIT" if {
	not limits[money.currencyCode]
} else := "ALLOWED" if {
	minor_units := to_number(money.minorUnits)
	minor_units > 0
	minor_units <= limits[money.currencyCode]
} else := "AMOUNT_OVER_LIMIT"

# The worst reason code among the legs, in the order of _amount_reason.
_legs_reason := [reason |
	some reason in ["BODY_UNREADABLE", "CURRENCY_HAS_NO_LIMIT", "AMOUNT_OVER_LIMIT", "ALLOWED"]
	reason in _leg_reasons
][0]

_leg_reasons := {reason |
	some leg in _body.legs
	reason := _leg_reason(leg)
}

# The limit holds for money that leaves as for money that arrives: the sign is taken off first.
_leg_reason(leg) := _amount_reason(
	{
		"currencyCode": leg.amount.currencyCode,
		"minorUnits": trim_prefix(leg.amount.minorUnits, "-"),
	},
	data.paymesh.grants.limits.transfer_leg,
) if {
	_is_minor_units(leg.amount)
} else := "BODY_UNREADABLE"

# An int64 in protojson: a decimal string. Zero is absent, so it is not one of these.
_is_minor_units(money) if {
	is_string(money.currencyCode)
	regex.match(`^-?[1-9][0-9]{0,18}$`, money.minorUnits)
}
