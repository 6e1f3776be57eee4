package input

import (
	"errors"
	"strings"
)

// Envoy sets this header itself, from the certificate of the connection.
const clientCertHeader = "x-forwarded-client-cert"

var errSeveralIdentities = errors.New("a certificate with more than one URI")

// oneIdentity: an SVID has exactly one URI, and whoever validates one must reject any
// other (SPIFFE X509-SVID, 2). Envoy lets a certificate in when one of its URIs is on the
// list, whichever, and names the first as the caller.
func oneIdentity(clientCert string) error {
	if strings.Count(";"+clientCert, ";URI=") > 1 {
		return errSeveralIdentities
	}
	return nil
}
