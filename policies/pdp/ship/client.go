package ship

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswerBytes  = 64 << 10
	maxExcerptBytes = 200
	maxTokenBytes   = 16 << 10
	connectTimeout  = 5 * time.Second
	idleTimeout     = 90 * time.Second
)

// refusal is an answer that is no success.
type refusal struct {
	status     int
	excerpt    string
	retryAfter time.Duration // 0: not said
}

func (r *refusal) Error() string {
	sentence := fmt.Sprintf("the receiver answers %d %s", r.status, http.StatusText(r.status))
	if r.excerpt != "" {
		sentence += fmt.Sprintf(" (%q)", r.excerpt)
	}
	return sentence
}

// isFinal tells a refusal of what was sent from one that passes by itself.
func (r *refusal) isFinal() bool {
	return r.status < http.StatusInternalServerError && r.status != http.StatusTooManyRequests && r.status != http.StatusRequestTimeout
}

// client posts batches.
type client struct {
	config *Config
	format format
	http   *http.Client // nil: to be made anew
}

// post returns how many records the receiver says it did not take, although the
// request was a success.
func (c *client) post(ctx context.Context, records []record) (rejected int64, why string, err error) {
	request, err := c.request(ctx, records)
	if err != nil {
		return 0, "", err
	}
	if c.http == nil {
		if c.http, err = newHTTP(c.config); err != nil {
			return 0, "", err
		}
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.forget()
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // the URL is the operator's to know
		}
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return 0, "", &refusal{
			status: response.StatusCode, excerpt: excerptOf(response.Header, answer), retryAfter: retryAfter(response.Header, time.Now()),
		}
	}
	if err != nil { // taken or not: what is sent twice is not lost
		return 0, "", err
	}
	rejected, why = c.format.rejected(answer)
	return rejected, why, nil
}

func (c *client) request(ctx context.Context, records []record) (*http.Request, error) {
	content, err := c.format.encode(records)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&body, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := zipped.Write(content); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.Endpoint, &body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", c.format.contentType())
	request.Header.Set("Content-Encoding", "gzip")
	request.Header.Set("User-Agent", "paymesh-pdp")
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// token is read each time, so that one that is renewed is used.
func (c *client) token() (string, error) {
	if c.config.TokenFile == "" {
		return "", nil
	}
	file, err := os.Open(c.config.TokenFile)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxTokenBytes+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	isOdd := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || len(token) > maxTokenBytes || strings.ContainsFunc(token, isOdd) {
		return "", fmt.Errorf("%s holds no token", c.config.TokenFile)
	}
	return token, nil
}

// forget makes the next attempt begin with new connections and authorities: what is
// wrong may have been mended meanwhile.
func (c *client) forget() {
	if c.http != nil {
		c.http.CloseIdleConnections()
		c.http = nil
	}
}

func newHTTP(config *Config) (*http.Client, error) {
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if config.CAFile != "" {
		content, err := os.ReadFile(config.CAFile)
		if err != nil {
			return nil, err
		}
		trusted.RootCAs = x509.NewCertPool()
		if !trusted.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s holds no certificate", config.CAFile)
		}
	}
	return &http.Client{
		Timeout: config.timeout(),
		// A token is for the receiver that was configured, and for no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// No Proxy: the environment has no say in where decisions go.
			DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:        trusted,
			TLSHandshakeTimeout:    connectTimeout,
			ResponseHeaderTimeout:  config.timeout(),
			IdleConnTimeout:        idleTimeout,
			MaxConnsPerHost:        1,
			MaxResponseHeaderBytes: maxAnswerBytes,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
		},
	}, nil
}

// retryAfter reads RFC 9110's header, seconds or a date.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if moment, err := http.ParseTime(value); err == nil {
		return max(0, moment.Sub(now))
	}
	return 0
}

// excerptOf an answer for people; one that is not text says nothing to them.
func excerptOf(header http.Header, answer []byte) string {
	if !strings.HasPrefix(header.Get("Content-Type"), "text/plain") && !strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		return ""
	}
	return strings.ToValidUTF8(string(answer[:min(len(answer), maxExcerptBytes)]), "")
}
