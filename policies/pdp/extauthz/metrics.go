package extauthz

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/status"
)

// checkMetrics are the official plugin's two metrics; nil measures nothing.
type checkMetrics struct {
	duration *prometheus.HistogramVec
	errors   *prometheus.CounterVec
}

func newCheckMetrics(registry prometheus.Registerer, buckets []float64) (*checkMetrics, error) {
	m := &checkMetrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "grpc_request_duration_seconds",
			Help:    "Duration of ext_authz checks.",
			Buckets: buckets,
		}, []string{"handler"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "error_counter",
			Help: "Failed ext_authz checks.",
		}, []string{"reason"}),
	}
	// A restart of the plugins keeps the registry: the old one is replaced.
	for _, collector := range []prometheus.Collector{m.duration, m.errors} {
		err := registry.Register(collector)
		var twice prometheus.AlreadyRegisteredError
		if errors.As(err, &twice) {
			registry.Unregister(twice.ExistingCollector)
			err = registry.Register(collector)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *checkMetrics) observe(took time.Duration, err error) {
	if m == nil {
		return
	}
	m.duration.WithLabelValues("check").Observe(took.Seconds())
	if err != nil {
		m.errors.WithLabelValues(status.Code(err).String()).Inc()
	}
}
