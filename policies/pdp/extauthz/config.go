package extauthz

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"

	"paymesh.internal/pdp/input"
	"paymesh.internal/pdp/policy"
)

const (
	defaultAddr                 = ":9191"
	defaultPath                 = "envoy/authz/allow"
	defaultMaxRecvBytes         = 4 << 20 // grpc-go's
	defaultTimeoutMilliseconds  = 900
	defaultMaxConcurrentStreams = 1024
)

// Config of the plugin, plugins.envoy_ext_authz_grpc. The first group is the
// official plugin's; it ignores the second, so one file configures both.
type Config struct {
	Addr                     string    `json:"addr"`
	Path                     string    `json:"path"`
	Query                    string    `json:"query"` // deprecated by the official plugin
	DryRun                   bool      `json:"dry-run"`
	EnableReflection         bool      `json:"enable-reflection"`
	ProtoDescriptor          string    `json:"proto-descriptor"`
	GRPCMaxRecvMsgSize       int       `json:"grpc-max-recv-msg-size"`
	GRPCMaxSendMsgSize       int       `json:"grpc-max-send-msg-size"`
	SkipRequestBodyParse     bool      `json:"skip-request-body-parse"`
	EnablePerformanceMetrics bool      `json:"enable-performance-metrics"`
	DurationSecondsBuckets   []float64 `json:"grpc-request-duration-seconds-buckets"`

	// EvaluationTimeoutMilliseconds bounds a check from its arrival to its record;
	// an earlier deadline of Envoy's holds.
	EvaluationTimeoutMilliseconds int `json:"evaluation-timeout-milliseconds"`
	// MaxConcurrentStreams bounds the checks under way on one connection.
	MaxConcurrentStreams uint32 `json:"max-concurrent-streams"`
	// ErrorDomain of a refusal's ErrorInfo; empty: the bundle's trust domain.
	ErrorDomain string `json:"error-domain"`

	body    ast.Body
	methods input.Methods
}

// ParseConfig reads the configuration, fills in what it leaves out and loads the
// descriptors that it names.
func ParseConfig(content []byte) (*Config, error) {
	c := Config{
		Addr:                          defaultAddr,
		GRPCMaxRecvMsgSize:            defaultMaxRecvBytes,
		GRPCMaxSendMsgSize:            math.MaxInt32,
		DurationSecondsBuckets:        []float64{1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 3e-3, 5e-3, 0.1, 1},
		EvaluationTimeoutMilliseconds: defaultTimeoutMilliseconds,
		MaxConcurrentStreams:          defaultMaxConcurrentStreams,
	}
	if err := util.Unmarshal(content, &c); err != nil {
		return nil, err
	}
	if c.EvaluationTimeoutMilliseconds < 1 || c.MaxConcurrentStreams < 1 || c.GRPCMaxRecvMsgSize < 1 {
		return nil, errors.New(PluginName + ": a limit must be positive")
	}
	if err := c.parseQuestion(); err != nil {
		return nil, fmt.Errorf("%s: %w", PluginName, err)
	}
	if c.ProtoDescriptor != "" {
		methods, err := input.ReadMethods(c.ProtoDescriptor)
		if err != nil {
			return nil, fmt.Errorf("%s: proto-descriptor: %w", PluginName, err)
		}
		c.methods = methods
	}
	return &c, nil
}

func (c *Config) parseQuestion() error {
	switch {
	case c.Path != "" && c.Query != "":
		return errors.New("give \"path\" only, not \"query\" as well")
	case c.Query != "":
		body, err := ast.ParseBody(c.Query)
		c.body = body
		return err
	case c.Path == "":
		c.Path = defaultPath
	}
	c.body = policy.Body(c.Path)
	return nil
}

func (c *Config) timeout() time.Duration {
	return time.Duration(c.EvaluationTimeoutMilliseconds) * time.Millisecond
}

// question is the policy's path as it is recorded.
func (c *Config) question() string {
	if c.Query != "" {
		return c.Query
	}
	return c.Path
}
