// Package sample makes decision logs that look like a busy day of the mesh: for
// measuring, and for trying things out without one.
package sample

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Day makes questions as the decision log records them. Equal seeds make equal days.
type Day struct {
	random *rand.Rand
	mesh   Mesh
	users  []user
	now    time.Time
	step   time.Duration
}

// Mesh is what a day has to know of the mesh: its data.paymesh.environment.
type Mesh struct {
	TrustDomain, Namespace, Issuer, Audience, Key string
}

// Question is one decision before it is taken.
type Question struct {
	ID, Path, Caller, RPC, User, Token, Input string // User, Token and Input are JSON
	Time                                      time.Time
}

type user struct {
	sub, tenant, role string
	iat               time.Time
	jti               string
}

const (
	usersOfDay   = 20_000
	tenants      = 200
	tokenSeconds = 900
)

// NewDay begins at a time and takes a step to each question.
func NewDay(seed uint64, mesh Mesh, begin time.Time, step time.Duration) *Day {
	d := &Day{random: rand.New(rand.NewPCG(seed, seed)), mesh: mesh, now: begin, step: step}
	for i := range usersOfDay {
		d.users = append(d.users, user{
			sub:    fmt.Sprintf("user-%05d", i),
			tenant: fmt.Sprintf("tenant-%d", d.random.IntN(tenants)),
			role:   pick(d.random, []string{"customer", "operator", "auditor", "visitor"}, 80, 12, 6, 2),
		})
	}
	return d
}

func pick(random *rand.Rand, of []string, weights ...int) string {
	sum := 0
	for _, weight := range weights {
		sum += weight
	}
	at := random.IntN(sum)
	for i, weight := range weights {
		if at -= weight; at < 0 {
			return of[i]
		}
	}
	return of[len(of)-1]
}

// Next is the day's next question.
func (d *Day) Next() Question {
	d.now = d.now.Add(d.step/2 + time.Duration(d.random.Int64N(int64(d.step)+1)))
	u := &d.users[d.random.IntN(len(d.users))]
	if d.now.Sub(u.iat) > tokenSeconds*time.Second {
		u.iat, u.jti = d.now.Add(-time.Duration(d.random.IntN(5))*time.Second), d.hex(16)
	}
	if d.random.IntN(5) == 0 {
		return d.object(u)
	}
	return d.call(u)
}

func (d *Day) object(u *user) Question {
	action := pick(d.random, []string{"payments.read", "payments.refund", "links.read", "accounts.read"}, 70, 5, 15, 10)
	caller, owner, tenant := d.spiffeID("gateway"), u.sub, u.tenant
	if d.random.IntN(50) == 0 {
		owner = "somebody-else"
	}
	if d.random.IntN(100) == 0 {
		tenant = "tenant-of-others"
	}
	return Question{
		ID: d.uuid(), Path: "paymesh/objects/decision", Caller: "gateway", RPC: action, Token: "null", Time: d.now,
		User: u.claims(),
		Input: fmt.Sprintf(
			`{"action":%q,"caller":%q,"object":{"owner":%q,"tenant":%q},"user":%s}`,
			action, caller, owner, tenant, u.claims(),
		),
	}
}

func (u *user) claims() string {
	return fmt.Sprintf(`{"roles":[%q],"sub":%q,"tenant":%q}`, u.role, u.sub, u.tenant)
}

func (d *Day) call(u *user) Question {
	const payments, ledger = "/paymesh.payments.v1.PaymentsService/", "/paymesh.ledger.v1.LedgerService/"
	caller, rpc, body, token := "gateway", "", "{}", d.token(u)
	switch at := d.random.IntN(100); {
	case at < 25:
		rpc = payments + "CreatePayment"
		body = fmt.Sprintf(`{"amount":{"currencyCode":%q,"minorUnits":%q},"description":null,"idempotencyKey":null,"merchantAccountId":%q,"paymentMethodToken":null}`,
			pick(d.random, []string{"EUR", "USD", "GBP", "JPY", "XAU"}, 60, 20, 10, 9, 1), d.amount(), d.uuid())
	case at < 45:
		rpc, body = payments+"GetPayment", fmt.Sprintf(`{"paymentId":%q}`, d.uuid())
	case at < 52:
		rpc, body = payments+"ListPayments", fmt.Sprintf(`{"pageSize":%d,"pageToken":null}`, 10+d.random.IntN(90))
	case at < 55:
		rpc, body = payments+"RefundPayment", fmt.Sprintf(`{"idempotencyKey":null,"paymentId":%q}`, d.uuid())
	case at < 62:
		rpc, body = ledger+"GetBalance", fmt.Sprintf(`{"accountId":%q}`, d.uuid())
	case at < 66:
		rpc, body = ledger+"ListBalances", fmt.Sprintf(`{"legalEntity":%q}`, u.tenant)
	case at < 70:
		rpc = "/grpc.health.v1.Health/Check"
		token = "null"
	case at < 90:
		amount := d.amount()
		caller, rpc = "payments", ledger+"PostTransfer"
		body = fmt.Sprintf(`{"idempotencyKey":null,"legs":[{"accountId":%q,"amount":{"currencyCode":"EUR","minorUnits":%q}},{"accountId":%q,"amount":{"currencyCode":"EUR","minorUnits":"-%s"}}]}`,
			d.uuid(), amount, d.uuid(), amount)
	case at < 97:
		caller, rpc, token = "statements", ledger+"ListEntries", "null"
		body = fmt.Sprintf(`{"accountId":%q,"pageSize":500}`, d.uuid())
	default:
		caller, rpc, body = "statements", payments+"GetPayment", "null"
	}
	question := d.question(caller, rpc, body, token)
	if question.User = "null"; strings.Contains(token, `"valid"`) {
		question.User = u.claims()
	}
	return question
}

// amount of money, most of it small, some over the limit.
func (d *Day) amount() string {
	return strconv.FormatInt(1+int64(1_600_000*d.random.Float64()*d.random.Float64()*d.random.Float64()), 10)
}

func (d *Day) token(u *user) string {
	signature, iat, key := "valid", u.iat, fmt.Sprintf(`"key":%q,`, d.mesh.Key)
	switch d.random.IntN(400) {
	case 0:
		return "null"
	case 1, 2, 3, 4:
		iat = iat.Add(-tokenSeconds * time.Second) // over
	case 5:
		signature, key = "invalid", ""
	}
	return fmt.Sprintf(
		`{"scheme":"bearer","signature":%q,%s"header":{"alg":"ES256","kid":%q,"typ":"JWT"},"claims":{"aud":%q,"exp":%d,"iat":%d,"iss":%q,"jti":%q,"roles":[%q],"sub":%q,"tenant":%q},"withheld":[]}`,
		signature, key, d.mesh.Key, d.mesh.Audience, iat.Unix()+tokenSeconds, iat.Unix(), d.mesh.Issuer, u.jti, u.role, u.sub, u.tenant,
	)
}

func (d *Day) question(caller, rpc, body, token string) Question {
	authorization := ""
	if token != "null" {
		authorization = `"authorization":null,`
	}
	id, principal := d.uuid(), d.spiffeID(caller)
	input := fmt.Sprintf(
		`{"attributes":{"destination":{"address":{"socketAddress":{"address":"10.0.3.%d","portValue":7001}}},"request":{"http":{"headers":{":authority":null,":method":"POST",":path":null,":scheme":"https",%s"content-type":"application/grpc","grpc-accept-encoding":null,"grpc-timeout":"%dm","te":"trailers","traceparent":"00-%s-%s-01","user-agent":null,"x-forwarded-client-cert":null,"x-forwarded-proto":null,"x-request-id":%q},"host":null,"id":"%d","method":"POST","path":%q,"protocol":"HTTP/2","rawBody":null,"scheme":"https","size":"%d"},"time":%q},"source":{"address":{"socketAddress":{"address":"10.0.2.%d","portValue":%d}},"certificate":null,"principal":%q}},"parsed_body":%s,"parsed_path":[%q,%q],"parsed_query":{},"source_principal":%q,"truncated_body":false,"version":{"encoding":"protojson","ext_authz":"v3"}}`,
		d.random.IntN(250), authorization, 100+d.random.IntN(900), d.hex(16), d.hex(8), d.uuid(),
		d.random.Uint64(), rpc, len(body), d.now.Format(time.RFC3339Nano), d.random.IntN(250), 20000+d.random.IntN(40000), principal,
		body, rpc, "", principal,
	)
	return Question{ID: id, Path: "paymesh/authz/decision", Caller: caller, RPC: rpc, Token: token, Input: input, Time: d.now}
}

func (d *Day) spiffeID(workload string) string {
	return fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", d.mesh.TrustDomain, d.mesh.Namespace, workload)
}

func (d *Day) hex(bytes int) string {
	random := make([]byte, bytes)
	for i := range random {
		random[i] = byte(d.random.Uint32())
	}
	return hex.EncodeToString(random)
}

func (d *Day) uuid() string {
	digits := d.hex(16)
	return digits[:8] + "-" + digits[8:12] + "-4" + digits[13:16] + "-a" + digits[17:20] + "-" + digits[20:]
}
