package paymesh.authz

# METADATA
# description: >-
#   The workload that calls, by the SPIFFE ID of its certificate (URI SAN, verified by Envoy). The
#   whole ID has to be that of a workload in deploy/mesh.yaml, byte for byte.
caller := name if {
	["spiffe:", "", trust_domain, "ns", namespace, "sa", name] = split(_principal, "/")
	trust_domain == data.paymesh.environment.trust_domain
	namespace == data.paymesh.environment.namespace
	name in data.paymesh.environment.workloads
}

# METADATA
# description: Why there is no caller; without meaning when there is one.
caller_problem := "POLICY_ERROR" if {
	not data.paymesh.environment.trust_domain
} else := "NO_CALLER_IDENTITY" if {
	# trap: ok, spiffe-prefix: says only why there is no caller, and that is already decided
	not startswith(_principal, "spiffe://")
} else := "FOREIGN_TRUST_DOMAIN" if {
	# trap: ok, spiffe-prefix: as above; the trust domain is compared whole, up to its slash
	not startswith(_principal, concat("", ["spiffe://", data.paymesh.environment.trust_domain, "/"]))
} else := "UNKNOWN_CALLER"

default _principal := ""

_principal := input.attributes.source.principal
