package paymesh.authz

# METADATA
# description: >-
#   The workload that calls, by the SPIFFE ID of its certificate (URI SAN, verified by Envoy). The
#   whole ID has to be that of a workload in deploy/mesh.yaml, byte for byte.
caller := name if {
	startswith(_principal, _id_prefix)
	name := substring(_principal, count(_id_prefix), -1)
	name in data.paymesh.environment.workloads
}

# METADATA
# description: Why there is no caller; without meaning when there is one.
caller_problem := "POLICY_ERROR" if {
	not _id_prefix
} else := "NO_CALLER_IDENTITY" if {
	not startswith(_principal, "spiffe://")
} else := "FOREIGN_TRUST_DOMAIN" if {
	not startswith(_principal, concat("", ["spiffe://", data.paymesh.environment.trust_domain, "/"]))
} else := "UNKNOWN_CALLER"

default _principal := ""

_principal := input.attributes.source.principal

_id_prefix := concat("", [
	"spiffe://",
	data.paymesh.environment.trust_domain,
	"/ns/",
	data.paymesh.environment.namespace,
	"/sa/",
])
