package decisionlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/util"
)

const (
	defaultMaxPending     = 1024
	defaultMaxRecordBytes = 64 << 10
	defaultMaskPath       = "paymesh/log/mask"
	defaultTokenPath      = "paymesh/log/token"
	defaultWait           = time.Second

	fsyncNever = "never"
	fsyncBatch = "batch"
)

// Config of the plugin, plugins.paymesh_decision_log.
type Config struct {
	// Path of the log file, relative to the working directory, or "-" for the
	// standard output. Required.
	Path string `json:"path"`
	// MaxPending is how many records may wait for the writer before askers wait.
	MaxPending int `json:"max_pending"`
	// MaxRecordBytes: a longer record loses its input.
	MaxRecordBytes int `json:"max_record_bytes"`
	// MaxBytes: a file that has reached it is renamed and a new one begun; 0 never.
	MaxBytes int64 `json:"max_bytes"`
	// Mask is the path of the document that says what is not recorded of the input.
	Mask string `json:"mask"`
	// Token is the path of the document that says what is recorded of a token.
	Token string `json:"token"`
	// Fsync is "never" (a record survives the process) or "batch" (and the machine).
	Fsync string `json:"fsync"`
	// WaitMilliseconds bounds the wait of a REST decision, which has no deadline.
	WaitMilliseconds int `json:"wait_milliseconds"`
	// RevisionFile remembers the highest bundle revision; empty: no rollback guard.
	RevisionFile string `json:"revision_file"`
	// RevisionFloorFile holds the lowest bundle revision that may be used; it may
	// change and need not exist. Empty: no floor.
	RevisionFloorFile string `json:"revision_floor_file"`
	// RevisionBundle is the bundle that it is of; empty: the only one there is.
	RevisionBundle string `json:"revision_bundle"`
}

// ParseConfig reads the configuration and fills in what it leaves out.
func ParseConfig(content []byte) (*Config, error) {
	c := Config{
		MaxPending:       defaultMaxPending,
		MaxRecordBytes:   defaultMaxRecordBytes,
		Mask:             defaultMaskPath,
		Token:            defaultTokenPath,
		Fsync:            fsyncNever,
		WaitMilliseconds: int(defaultWait / time.Millisecond),
	}
	if err := util.Unmarshal(content, &c); err != nil {
		return nil, err
	}
	switch {
	case c.Path == "":
		return nil, errors.New(PluginName + ": \"path\" is missing")
	case c.MaxPending < 1 || c.MaxRecordBytes < 1 || c.WaitMilliseconds < 1 || c.MaxBytes < 0 || c.Mask == "" || c.Token == "":
		return nil, errors.New(PluginName + ": a limit must be positive; \"mask\" and \"token\" must name a document")
	case c.Fsync != fsyncNever && c.Fsync != fsyncBatch:
		return nil, fmt.Errorf("%s: \"fsync\" is %q, not %q or %q", PluginName, c.Fsync, fsyncNever, fsyncBatch)
	case c.Path == standardOutput && (c.MaxBytes != 0 || c.Fsync != fsyncNever):
		return nil, errors.New(PluginName + ": standard output takes neither \"max_bytes\" nor \"fsync\"")
	case c.RevisionFloorFile != "" && c.RevisionFile == "":
		return nil, errors.New(PluginName + ": \"revision_floor_file\" needs \"revision_file\"")
	}
	return &c, nil
}

func (c *Config) wait() time.Duration { return time.Duration(c.WaitMilliseconds) * time.Millisecond }
