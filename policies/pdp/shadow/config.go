package shadow

import (
	"errors"
	"time"

	"github.com/open-policy-agent/opa/v1/util"
)

const (
	defaultMaxPending      = 256
	defaultMaxPendingBytes = 8 << 20
	defaultDeadline        = 100 * time.Millisecond
	defaultMaxHeapGrowth   = 32 << 20
	defaultMaxBundleBytes  = 8 << 20
	defaultMaxLogBytes     = 64 << 20
	defaultLongPoll        = 10 * time.Second
)

// Config of the plugin, plugins.paymesh_shadow.
type Config struct {
	// Service of OPA's configuration that the candidate's bundle is fetched from, and
	// its path there. Required.
	Service  string `json:"service"`
	Resource string `json:"resource"`
	// KeyID and Key (PEM) of the candidate's signature. The key stands here and not
	// under OPA's "keys", so that no other bundle can be verified with it. Required.
	KeyID string `json:"key_id"`
	Key   string `json:"key"`
	// Differences is the file that differing decisions are appended to, Status the one
	// with the counts. Required.
	Differences string `json:"differences"`
	Status      string `json:"status"`
	// MaxLogBytes: Differences is begun anew at this size, and one older file is kept.
	MaxLogBytes int64 `json:"max_log_bytes"`
	// MaxPending decisions, of about MaxPendingBytes together, wait for the candidate.
	// One more is not asked about.
	MaxPending      int   `json:"max_pending"`
	MaxPendingBytes int64 `json:"max_pending_bytes"`
	// DeadlineMilliseconds bounds one evaluation.
	DeadlineMilliseconds int `json:"deadline_milliseconds"`
	// MaxHeapGrowthBytes: an evaluation is given up when the heap has grown by so much
	// since it began.
	MaxHeapGrowthBytes uint64 `json:"max_heap_growth_bytes"`
	// MaxBundleBytes bounds each file of the bundle.
	MaxBundleBytes int64 `json:"max_bundle_bytes"`
	// LongPollSeconds is how long the service may wait for a change.
	LongPollSeconds int64 `json:"long_poll_seconds"`
}

// ParseConfig reads the configuration and fills in what it leaves out.
func ParseConfig(content []byte) (*Config, error) {
	c := Config{
		MaxLogBytes:          defaultMaxLogBytes,
		MaxPending:           defaultMaxPending,
		MaxPendingBytes:      defaultMaxPendingBytes,
		DeadlineMilliseconds: int(defaultDeadline / time.Millisecond),
		MaxHeapGrowthBytes:   defaultMaxHeapGrowth,
		MaxBundleBytes:       defaultMaxBundleBytes,
		LongPollSeconds:      int64(defaultLongPoll / time.Second),
	}
	if err := util.Unmarshal(content, &c); err != nil {
		return nil, err
	}
	for _, required := range []string{c.Service, c.Resource, c.KeyID, c.Key, c.Differences, c.Status} {
		if required == "" {
			return nil, errors.New(PluginName + ": \"service\", \"resource\", \"key_id\", \"key\", \"differences\" and \"status\" are needed")
		}
	}
	if c.MaxLogBytes < 1 || c.MaxPending < 1 || c.MaxPendingBytes < 1 || c.DeadlineMilliseconds < 1 ||
		c.MaxHeapGrowthBytes < 1 || c.MaxBundleBytes < 1 || c.LongPollSeconds < 1 {
		return nil, errors.New(PluginName + ": a limit must be positive")
	}
	return &c, nil
}

func (c *Config) deadline() time.Duration {
	return time.Duration(c.DeadlineMilliseconds) * time.Millisecond
}
