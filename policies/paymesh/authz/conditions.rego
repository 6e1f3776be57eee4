package paymesh.authz

# One rule `condition["<name>"]` for each condition name that a grant may use. Its value is ALLOWED or
# the reason code of the refusal. Each is defined for every input and leans on no other condition.
# `paymesh policy explain` shows its description, and the values of what `facts` names.

# METADATA
# description: A verified end user who is a customer.
# custom:
#   facts:
#     - data.paymesh.authz.user.roles
condition["user_is_customer"] := _role_reason({"customer"})

# METADATA
# description: A verified end user who is an operator of a merchant.
# custom:
#   facts:
#     - data.paymesh.authz.user.roles
condition["user_is_operator"] := _role_reason({"operator"})

# METADATA
# description: A verified end user who is an auditor.
# custom:
#   facts:
#     - data.paymesh.authz.user.roles
condition["user_is_auditor"] := _role_reason({"auditor"})

# METADATA
# description: A verified end user who is an operator or an auditor.
# custom:
#   facts:
#     - data.paymesh.authz.user.roles
condition["user_is_staff"] := _role_reason({"operator", "auditor"})

# METADATA
# description: A verified end user with any role that Paymesh knows.
# custom:
#   facts:
#     - data.paymesh.authz.user.roles
condition["user_is_known"] := _role_reason({"customer", "operator", "auditor"})

# METADATA
# description: No end user's token came along, good or bad.
condition["no_user"] := "USER_NOT_EXPECTED" if {
	token_present
} else := "ALLOWED"

# METADATA
# description: >-
#   The message was read whole. It is not when it is compressed, streamed, truncated or of a type that
#   the descriptors lack; fields with zero values are absent from it.
condition["body_readable"] := "ALLOWED" if {
	_body
} else := "BODY_UNREADABLE"

# METADATA
# description: The payment's amount is positive and within limits.user_payment.
# custom:
#   facts:
#     - input.parsed_body.amount
#     - data.paymesh.grants.limits.user_payment
condition["amount_within_user_limit"] := _amount_reason(_body.amount, data.paymesh.grants.limits.user_payment) if {
	_has_amount
} else := "BODY_UNREADABLE"

# METADATA
# description: >-
#   The refund's amount is positive and within limits.refund. Without an amount it is all that is left
#   of the payment, which was within limits.user_payment when it was made.
# custom:
#   facts:
#     - input.parsed_body.amount
#     - data.paymesh.grants.limits.refund
condition["amount_within_refund_limit"] := _amount_reason(_body.amount, data.paymesh.grants.limits.refund) if {
	_has_amount
} else := "ALLOWED" if {
	_body
} else := "BODY_UNREADABLE"

# METADATA
# description: Every leg of the transfer, credit or debit, is within limits.transfer_leg.
# custom:
#   facts:
#     - input.parsed_body.legs
#     - data.paymesh.grants.limits.transfer_leg
condition["legs_within_transfer_limit"] := _legs_reason if {
	count(_body.legs) > 0
} else := "BODY_UNREADABLE"

# METADATA
# description: The legal entity that is asked about is the user's own tenant.
# custom:
#   facts:
#     - input.parsed_body.legalEntity
#     - data.paymesh.authz.user.tenant
condition["account_in_user_tenant"] := token_reason if {
	token_reason != "ALLOWED"
} else := "BODY_UNREADABLE" if {
	not _body
} else := "ALLOWED" if {
	_body.legalEntity == user.tenant
} else := "OTHER_TENANT"

# METADATA
# description: The account to open is a merchant's.
# custom:
#   facts:
#     - input.parsed_body.kind
condition["account_kind_merchant"] := _kind_reason("ACCOUNT_KIND_MERCHANT")

# METADATA
# description: The account to open is a clearing account.
# custom:
#   facts:
#     - input.parsed_body.kind
condition["account_kind_clearing"] := _kind_reason("ACCOUNT_KIND_CLEARING")

_role_reason(wanted) := token_reason if {
	token_reason != "ALLOWED"
} else := "ALLOWED" if {
	some role in user.roles
	role in wanted
} else := "USER_ROLE_MISSING"

_kind_reason(kind) := "BODY_UNREADABLE" if {
	not _body
} else := "ALLOWED" if {
	_body.kind == kind
} else := "ACCOUNT_KIND_REFUSED"

# Whatever its value: `false` where an amount belongs is an amount, and a bad one. It reads this one
# field, so that what the log erases of the others can change no decision.
_has_amount if type_name(_body.amount)

# protojson of the message: lowerCamelCase names, int64 as strings, enums by name.
_body := input.parsed_body if {
	is_object(input.parsed_body)
	input.truncated_body == false
}
