// Package extauthz is an OPA plugin that answers Envoy's ext_authz v3 checks over
// gRPC. It takes the configuration, makes the input and reads the decisions of
// the official opa-envoy-plugin, which can stand in its place.
package extauthz

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"paymesh.internal/pdp/decisionlog"
	"paymesh.internal/pdp/input"
	"paymesh.internal/pdp/policy"
	"paymesh.internal/pdp/report"
)

// PluginName is the plugin's key in OPA's configuration, the official one.
const PluginName = "envoy_ext_authz_grpc"

// Factory makes the plugin for OPA's runtime.
type Factory struct{}

// Validate reads the plugin's configuration.
func (Factory) Validate(_ *plugins.Manager, content []byte) (any, error) { return ParseConfig(content) }

// New makes the plugin; it does not listen before Start.
func (Factory) New(manager *plugins.Manager, config any) plugins.Plugin {
	return New(manager, config.(*Config))
}

// Plugin serves checks from Start to Stop.
type Plugin struct {
	config  *Config
	manager *plugins.Manager
	status  *report.Reporter
	server  *server
	health  *health.Server
	grpc    *grpc.Server
	served  chan struct{}                      // closed when the listener is
	log     atomic.Pointer[decisionlog.Plugin] // nil if none is configured
	opaLog  *opaRecorder                       // used then
	stop    sync.Once
}

// New makes a plugin for a manager.
func New(manager *plugins.Manager, config *Config) *Plugin {
	opaLog := &opaRecorder{manager: manager}
	p := &Plugin{
		config:  config,
		opaLog:  opaLog,
		manager: manager,
		status:  report.Start(manager, PluginName),
		health:  health.NewServer(),
		server: &server{
			store:    manager.Store,
			query:    policy.NewQuery(context.Background(), manager, config.body),
			reader:   input.Reader{Methods: config.methods, SkipBody: config.SkipRequestBodyParse},
			recorder: opaLog,
			logger:   manager.Logger(),
			question: config.question(),
			timeout:  config.timeout(),
			dryRun:   config.DryRun,
		},
	}
	p.server.domain.Store(&config.ErrorDomain)
	p.reportHealth()
	manager.RegisterCompilerTrigger(func(txn storage.Transaction) { p.activate(context.Background(), txn) })
	return p
}

// Start opens the socket and answers; until a policy is loaded, with errors.
func (p *Plugin) Start(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		return err
	}
	if p.config.EnablePerformanceMetrics {
		measured, err := newCheckMetrics(p.manager.PrometheusRegister(), p.config.DurationSecondsBuckets)
		if err != nil {
			return err
		}
		p.server.metrics = measured
	}
	err := storage.Txn(ctx, p.manager.Store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		p.activate(ctx, txn)
		return nil
	})
	if err != nil {
		return err
	}
	listener, err := listen(ctx, p.config.Addr)
	if err != nil {
		return err
	}
	p.grpc = p.newGRPC()
	p.served = make(chan struct{})
	go func() {
		defer close(p.served)
		if err := p.grpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			p.manager.Logger().Error("The ext_authz server ended: %v.", err)
			p.status.Set(plugins.StateErr, err.Error())
		}
	}()
	p.manager.Logger().WithFields(map[string]any{
		"addr": p.config.Addr, "path": p.config.question(), "dry-run": p.config.DryRun,
	}).Info("Serving ext_authz checks.")
	return nil
}

// connect finds the decision log, which must be open before the first check and
// close after the last.
func (p *Plugin) connect(ctx context.Context) error {
	log := decisionlog.Lookup(p.manager)
	if log == nil {
		p.manager.Logger().Warn("No %s is configured: decisions go to OPA's decision log, if there is one.", decisionlog.PluginName)
		return nil
	}
	if err := log.Start(ctx); err != nil {
		return err
	}
	p.log.Store(log)
	p.server.recorder = log
	log.StopFirst(p.Stop)
	log.OnChange(p.reportHealth)
	return nil
}

func (p *Plugin) newGRPC() *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(p.config.GRPCMaxRecvMsgSize),
		grpc.MaxSendMsgSize(p.config.GRPCMaxSendMsgSize),
		grpc.MaxConcurrentStreams(p.config.MaxConcurrentStreams),
		grpc.SharedWriteBuffer(true),
	}
	if provider := p.manager.TracerProvider(); provider != nil { // distributed_tracing is configured
		options = append(options, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(provider),
			otelgrpc.WithPropagators(propagation.NewCompositeTextMapPropagator(
				propagation.TraceContext{}, propagation.Baggage{})),
		)))
	}
	s := grpc.NewServer(options...)
	authv3.RegisterAuthorizationServer(s, p.server)
	healthpb.RegisterHealthServer(s, p.health)
	if p.config.EnableReflection {
		reflection.Register(s)
	}
	return s
}

// activate runs inside the transaction that activates a policy.
func (p *Plugin) activate(ctx context.Context, txn storage.Transaction) {
	p.server.query.Prepare(ctx, txn)
	p.opaLog.activate(ctx, txn)
	if p.config.ErrorDomain == "" {
		domain := policy.ReadMesh(ctx, p.manager.Store, txn).TrustDomain
		p.server.domain.Store(&domain)
	}
	p.reportHealth()
}

// reportHealth tells Envoy (grpc.health.v1) and OPA (/health?plugins) whether a
// check can be answered.
func (p *Plugin) reportHealth() {
	err := p.server.query.Ready()
	if log := p.log.Load(); log != nil && err == nil {
		err = log.Refusal()
	}
	serving := healthpb.HealthCheckResponse_NOT_SERVING
	switch {
	case err == nil:
		serving = healthpb.HealthCheckResponse_SERVING
		p.status.Set(plugins.StateOK, "")
	case p.server.query.Ready() != nil:
		p.status.Set(plugins.StateNotReady, err.Error())
	default:
		p.status.Set(plugins.StateErr, err.Error())
	}
	p.health.SetServingStatus("", serving)
	p.health.SetServingStatus(authv3.Authorization_ServiceDesc.ServiceName, serving)
}

// Stop lets the checks under way be answered, until the context ends.
func (p *Plugin) Stop(ctx context.Context) {
	p.stop.Do(func() {
		p.health.Shutdown()
		if p.grpc != nil {
			abort := context.AfterFunc(ctx, p.grpc.Stop)
			p.grpc.GracefulStop()
			abort()
			<-p.served
		}
		p.status.Set(plugins.StateNotReady, "stopped")
		p.status.Stop()
	})
}

// Reconfigure changes nothing, as with the official plugin: the socket and the
// question stay what they are until a restart.
func (p *Plugin) Reconfigure(context.Context, any) {}
