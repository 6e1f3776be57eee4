package ship

import "github.com/prometheus/client_golang/prometheus"

// shipMetrics stand in OPA's own.
type shipMetrics struct {
	shipped, rejected, cut, gone, failures prometheus.Counter
	behind                                 prometheus.Gauge
}

func newMetrics() *shipMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "paymesh_shipping_" + name, Help: help})
	}
	return &shipMetrics{
		shipped:  counter("records_total", "Decisions that the receiver has."),
		rejected: counter("rejected_total", "Decisions that the receiver did not take and does not want again."),
		cut:      counter("cut_lines_total", "Lines of the decision log that are no record."),
		gone:     counter("gone_files_total", "Files of the decision log that were gone before they were shipped whole."),
		failures: counter("failures_total", "Attempts that failed and were made again."),
		behind: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "paymesh_shipping_behind_bytes", Help: "Of the decision log, what the receiver does not have.",
		}),
	}
}

func (m *shipMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.shipped, m.rejected, m.cut, m.gone, m.failures, m.behind}
}

// Describe and Collect make them one collector.
func (m *shipMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, metric := range m.all() {
		metric.Describe(to)
	}
}

// Collect is prometheus.Collector's.
func (m *shipMetrics) Collect(to chan<- prometheus.Metric) {
	for _, metric := range m.all() {
		metric.Collect(to)
	}
}
