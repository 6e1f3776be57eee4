package extauthz

import (
	"strings"
	"testing"
)

// Only what names a method comes into a record: a path may hold a card number.
func TestMethodIn(t *testing.T) {
	long := strings.Repeat("a", maxServiceBytes)
	for path, want := range map[string]bool{
		"/paymesh.payments.v1.PaymentsService/CreatePayment": true,
		"/a_B.v1234/C567":                        true,
		"/" + long + "/" + long[:maxMethodBytes]: true,
		"/" + long + "a/b":                       false,
		"/a/" + long[:maxMethodBytes+1]:          false,
		"/cards/4111111111111111":                false,
		"/cards/4111111111111111/pin=1234":       false,
		"/4111.1111/C":                           false,
		"/a.B/C?token=1":                         false,
		"/a.B/C.D":                               false,
		"/a.B/C/":                                false,
		"/a.B/":                                  false,
		"//C":                                    false,
		"a.B/C":                                  false,
		"/a.B":                                   false,
		"/ä/b":                                   false,
		"":                                       false,
	} {
		if got := methodIn(path); (got != "") != want || want && got != path {
			t.Errorf("%q: %q", path, got)
		}
	}
}
