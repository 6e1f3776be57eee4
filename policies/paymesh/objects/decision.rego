# METADATA
# title: May this user have this object?
# description: >-
#   Asked by a service about an object that it has just read from its own database (data API), after
#   data.paymesh.authz.decision let the call in. The service states the facts, the policy decides.
package paymesh.objects

# METADATA
# description: >-
#   `input` is {action, caller: SPIFFE ID, user: {sub, tenant, roles} or null, object: {tenant, owner,
#   kind, state}}; of `object` only what the action needs, `kind` and `state` as the protos' enums
#   name them without their prefix (MERCHANT, SUCCESS). The answer is {allowed, reason}.
# entrypoint: true
# scope: document
default decision := {"allowed": false, "reason": "OBJECT_DENIED"}

decision := {"allowed": false, "reason": "POLICY_ERROR"} if {
	not _known_action
} else := {"allowed": true, "reason": "ALLOWED"} if {
	_allowed
}

# METADATA
# description: What may be asked. Anything else is a mistake of the service and refused as POLICY_ERROR.
actions := {
	"payments.read",
	"payments.list",
	"payments.refund",
	"links.read",
	"links.use",
	"links.verify",
	"links.remove",
	"accounts.read",
	"accounts.open",
	"accounts.post",
}

_known_action if input.action in actions

# Customers see their own payments, staff those of the whole tenant.
_allowed if {
	input.action in {"payments.read", "payments.list"}
	_caller == "gateway"
	_user_has({"customer"})
	_same_tenant
	_same_owner
}

_allowed if {
	input.action in {"payments.read", "payments.list"}
	_caller == "gateway"
	_user_has({"operator", "auditor"})
	_same_tenant
}

_allowed if {
	input.action == "payments.refund"
	_caller == "gateway"
	_user_has({"operator"})
	_same_tenant
}

# A link is its owner's alone: no staff, no colleague of the same tenant. Payments knows a link's
# owner, not its tenant; a tenant that is stated has to be right.
_allowed if {
	input.action in {"links.read", "links.verify", "links.remove"}
	_caller in {"gateway", "payments"}
	_own_link
}

_allowed if {
	input.action == "links.use"
	_caller in {"gateway", "payments"}
	_own_link
	input.object.state == "SUCCESS"
}

_allowed if {
	input.action == "accounts.read"
	_caller == "gateway"
	_user_has({"operator", "auditor"})
	_same_tenant
}

# The statements job goes through every legal entity, but never for a user.
_allowed if {
	input.action == "accounts.read"
	_caller == "statements"
	_no_user
}

# Payments acts for the user who pays, or finishes after a crash what a user began.
_allowed if {
	input.action in {"accounts.read", "accounts.post"}
	_caller == "payments"
	_same_tenant_or_no_user
}

_allowed if {
	input.action == "accounts.open"
	_caller == "gateway"
	_user_has({"operator"})
	_same_tenant
	input.object.kind == "MERCHANT"
}

_allowed if {
	input.action == "accounts.open"
	_caller == "payments"
	_same_tenant_or_no_user
	input.object.kind == "CLEARING"
}

_caller := name if {
	some name in data.paymesh.environment.workloads
	input.caller == concat("", [
		"spiffe://",
		data.paymesh.environment.trust_domain,
		"/ns/",
		data.paymesh.environment.namespace,
		"/sa/",
		name,
	])
}

_user_has(wanted) if {
	some role in input.user.roles
	role in wanted
}

# Empty strings are what a service sends that forgot to fill a field in: they match nothing.
_same_tenant if {
	input.user.tenant != ""
	input.object.tenant == input.user.tenant
}

_same_owner if {
	input.user.sub != ""
	input.object.owner == input.user.sub
}

_own_link if {
	_user_has({"customer"})
	_same_owner
	object.get(input.object, "tenant", input.user.tenant) == input.user.tenant
}

# Stated as null, not left out.
_no_user if input.user == null

_same_tenant_or_no_user if _no_user

_same_tenant_or_no_user if _same_tenant
