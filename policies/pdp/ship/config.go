package ship

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/open-policy-agent/opa/v1/util"
)

const (
	formatOTLP   = "otlp"
	formatNDJSON = "ndjson"

	defaultMaxBatchRecords = 512
	defaultMaxBatchBytes   = 256 << 10
	defaultMaxDelay        = time.Second
	defaultTimeout         = 10 * time.Second
)

// Config of the plugin, plugins.paymesh_decision_shipping.
type Config struct {
	// Log is the decision log's path. Required.
	Log string `json:"log"`
	// Cursor is the file that remembers what the receiver has. Required.
	Cursor string `json:"cursor"`
	// Endpoint is the receiver's URL, used as it is. https, unless it is on this
	// machine's loopback interface. Required.
	Endpoint string `json:"endpoint"`
	// Format is "otlp" (OTLP/HTTP logs, protobuf) or "ndjson" (the log's lines).
	Format string `json:"format"`
	// ServiceName is the resource's service.name in OTLP.
	ServiceName string `json:"service_name"`
	// TokenFile holds a bearer token and is read for each request; CAFile holds the
	// authorities (PEM) that the receiver's certificate may be from, in place of the
	// system's.
	TokenFile string `json:"token_file"`
	CAFile    string `json:"ca_file"`
	// A batch is sent when it has so many records or bytes, or its first record waited
	// so long.
	MaxBatchRecords      int `json:"max_batch_records"`
	MaxBatchBytes        int `json:"max_batch_bytes"`
	MaxDelayMilliseconds int `json:"max_delay_milliseconds"`
	// TimeoutSeconds bounds one request.
	TimeoutSeconds int `json:"timeout_seconds"`
}

// ParseConfig reads the configuration and fills in what it leaves out.
func ParseConfig(content []byte) (*Config, error) {
	c := Config{
		Format:               formatOTLP,
		ServiceName:          "paymesh-pdp",
		MaxBatchRecords:      defaultMaxBatchRecords,
		MaxBatchBytes:        defaultMaxBatchBytes,
		MaxDelayMilliseconds: int(defaultMaxDelay / time.Millisecond),
		TimeoutSeconds:       int(defaultTimeout / time.Second),
	}
	if err := util.Unmarshal(content, &c); err != nil {
		return nil, err
	}
	switch {
	case c.Log == "" || c.Cursor == "":
		return nil, errors.New(PluginName + ": \"log\" and \"cursor\" are needed")
	case c.Log == "-":
		return nil, errors.New(PluginName + ": a log on the standard output is not shipped from here")
	case c.Format != formatOTLP && c.Format != formatNDJSON:
		return nil, fmt.Errorf("%s: \"format\" is %q, not %q or %q", PluginName, c.Format, formatOTLP, formatNDJSON)
	case c.MaxBatchBytes > longestLine:
		return nil, fmt.Errorf("%s: \"max_batch_bytes\" is over %d", PluginName, longestLine)
	case c.MaxBatchRecords < 1 || c.MaxBatchBytes < 1 || c.MaxDelayMilliseconds < 1 || c.TimeoutSeconds < 1:
		return nil, errors.New(PluginName + ": a limit must be positive")
	}
	if err := checkEndpoint(c.Endpoint); err != nil {
		return nil, fmt.Errorf("%s: \"endpoint\" %w", PluginName, err)
	}
	return &c, nil
}

// checkEndpoint says what is wrong with a URL without repeating it: there may be a
// secret in it.
func checkEndpoint(endpoint string) error {
	address, err := url.Parse(endpoint)
	switch {
	case err != nil || address.Host == "":
		return errors.New("is no URL")
	case address.User != nil:
		return errors.New("holds a name or password: use \"token_file\"")
	case address.Scheme == "https":
		return nil
	case address.Scheme == "http" && isLoopback(address.Hostname()):
		return nil
	}
	return errors.New("must be https, or http on this machine")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) delay() time.Duration {
	return time.Duration(c.MaxDelayMilliseconds) * time.Millisecond
}

func (c *Config) timeout() time.Duration { return time.Duration(c.TimeoutSeconds) * time.Second }
