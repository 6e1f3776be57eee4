package decisionlog

import (
	"os"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"paymesh.internal/pdp/policy/policytest"
)

// payment is what Envoy and the descriptors make of a payment's request.
const payment = `{
	"attributes": {
		"source": {"principal": "spiffe://paymesh.internal/ns/paymesh/sa/gateway", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 4711}}},
		"destination": {"principal": "spiffe://paymesh.internal/ns/paymesh/sa/payments"},
		"metadataContext": {},
		"request": {"time": "2026-11-21T10:00:00Z", "http": {
			"id": "1", "method": "POST", "protocol": "HTTP/2", "size": "180", "scheme": "https", "host": "payments",
			"path": "/paymesh.payments.v1.PaymentsService/CreatePayment",
			"headers": {
				":method": "POST", ":scheme": "https", ":authority": "payments", ":path": "/paymesh.payments.v1.PaymentsService/CreatePayment",
				"content-type": "application/grpc", "te": "trailers", "authorization": "Bearer a.b.c", "user-agent": "grpc", "grpc-timeout": "15S",
				"x-request-id": "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8c", "x-forwarded-proto": "https", "x-forwarded-client-cert": "Hash=1",
				"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-envoy-auth-partial-body": "false"
			}
		}}
	},
	"parsed_path": ["paymesh.payments.v1.PaymentsService", "CreatePayment"], "parsed_query": {}, "truncated_body": false,
	"parsed_body": {
		"idempotencyKey": "4bb1d7f0", "amount": {"currencyCode": "EUR", "minorUnits": "1250"}, "paymentMethodToken": "tok_visa",
		"merchantAccountId": "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8c", "description": "coffee"
	}
}`

const transfer = `{
	"attributes": {"request": {"http": {
		"path": "/paymesh.ledger.v1.LedgerService/PostTransfer",
		"headers": {
			":method": "POST", ":scheme": "https", ":authority": "ledger", ":path": "/paymesh.ledger.v1.LedgerService/PostTransfer",
			"content-type": "application/grpc", "te": "trailers", "user-agent": "grpc", "x-request-id": "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8c"
		}
	}}},
	"parsed_body": {
		"requestId": "4bb1d7f0", "reference": "x",
		"legs": [
			{"accountId": "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8c", "amount": {"currencyCode": "EUR", "minorUnits": "-1250"}},
			{"accountId": "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8d", "amount": {"currencyCode": "EUR", "minorUnits": "1250"}}
		]
	}
}`

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the mask that is shipped costs a decision.
func BenchmarkMask(b *testing.B) {
	for name, document := range map[string]string{"payment": payment, "transfer": transfer} {
		b.Run(name, func(b *testing.B) {
			manager := policytest.Manager(b)
			p := started(b, manager, nil)
			policytest.Activate(b, manager, policytest.Policy{Rego: read(b, "../../paymesh/log/mask.rego")})
			input := ast.MustParseTerm(document).Value
			policytest.Read(b, manager, func(txn storage.Transaction) {
				b.ReportAllocs()
				for b.Loop() {
					if mask := p.mask(b.Context(), txn, input); mask.pointers == nil {
						b.Fatal(mask.omit)
					}
				}
			})
		})
	}
}
