package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
	"uait.dev/go/kit/installed"
)

// envoy is a real Envoy in front of the echo-go service.
type envoy struct {
	mesh *grpc.ClientConn
	echo echov1.EchoServiceClient
}

// envoySettings fill in testdata/envoy.yaml.
type envoySettings struct {
	API              string // GRPC or DELTA_GRPC
	Balancer, Static string // ports
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// unusedAddress is one where nobody listens: it was free a moment ago, and the system hands out others first.
func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func startEnvoy(t *testing.T, settings envoySettings) *envoy {
	t.Helper()
	directory := t.TempDir()
	configuration, err := os.Create(filepath.Join(directory, "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := template.Must(template.ParseFiles("testdata/envoy.yaml")).Execute(configuration, settings); err != nil {
		t.Fatal(err)
	}
	if err := configuration.Close(); err != nil {
		t.Fatal(err)
	}
	log, admin := filepath.Join(directory, "envoy.log"), filepath.Join(directory, "admin")
	binary, err := installed.Program("envoy", "UAIT_ENVOY")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "--config-path", configuration.Name(), "--admin-address-path", admin, "--log-path", log,
		"--log-level", "warning", "--concurrency", "1", "--disable-hot-restart")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("Envoy's log:\n%s", text)
		}
	})
	mesh := connect(t, listenerAddress(t, admin, ended))
	return &envoy{mesh: mesh, echo: echov1.NewEchoServiceClient(mesh)}
}

// listenerAddress waits until Envoy's listener is bound, which it is when its clusters are ready.
func listenerAddress(t *testing.T, adminFile string, ended <-chan error) string {
	t.Helper()
	deadline := time.After(2 * patience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case err := <-ended:
			t.Fatalf("Envoy ended: %v", err)
		case <-deadline:
			t.Fatal("Envoy's listener is not there in time")
		}
		admin, err := os.ReadFile(adminFile)
		if err != nil || len(admin) == 0 {
			continue
		}
		ready, err := http.Get("http://" + strings.TrimSpace(string(admin)) + "/ready")
		if err != nil {
			continue
		}
		_ = ready.Body.Close()
		if ready.StatusCode != http.StatusOK {
			continue
		}
		response, err := http.Get("http://" + strings.TrimSpace(string(admin)) + "/listeners?format=json")
		if err != nil {
			continue
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			continue
		}
		var listeners struct {
			ListenerStatuses []struct {
				LocalAddress struct {
					SocketAddress struct {
						Address   string
						PortValue uint16 `json:"port_value"`
					} `json:"socket_address"`
				} `json:"local_address"`
			} `json:"listener_statuses"`
		}
		if err := json.Unmarshal(text, &listeners); err != nil {
			t.Fatalf("Envoy's listeners: %v: %s", err, text)
		}
		if len(listeners.ListenerStatuses) == 1 {
			bound := listeners.ListenerStatuses[0].LocalAddress.SocketAddress
			return net.JoinHostPort(bound.Address, strconv.Itoa(int(bound.PortValue)))
		}
	}
}

// call makes one call and returns who answered.
func (e *envoy) call(ctx context.Context) (instance string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	response, err := e.echo.Echo(ctx, &echov1.EchoRequest{Message: "hello"})
	return response.GetSeen().GetInstance(), err
}

// settle calls until the last `run` calls in a row were answered, all by the instances wanted and each of these at least
// once, and returns how long that took.
func (e *envoy) settle(t *testing.T, run int, want ...string) time.Duration {
	t.Helper()
	start := time.Now()
	answered := map[string]int{}
	var last error
	for row := 0; row < run || len(answered) < len(want); {
		if time.Since(start) > patience {
			t.Fatalf("wanted answers of %v, got %v in the last row, last error %v", want, answered, last)
		}
		instance, err := e.call(t.Context())
		expected := false
		for _, one := range want {
			expected = expected || one == instance
		}
		if err != nil || !expected {
			row, answered, last = 0, map[string]int{}, err
			continue
		}
		row++
		answered[instance]++
	}
	return time.Since(start)
}

// flow calls without a pause until stop is called, which returns how many calls were answered by whom, and every failure.
func (e *envoy) flow(t *testing.T) (stop func() (answered map[string]int, failures []error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	answered, failures := map[string]int{}, []error(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			instance, err := e.call(context.WithoutCancel(ctx))
			if err != nil {
				failures = append(failures, fmt.Errorf("at %s: %w", time.Now().Format(time.StampMilli), err))
				continue
			}
			answered[instance]++
		}
	}()
	return func() (map[string]int, []error) {
		cancel()
		<-done
		return answered, failures
	}
}

func eachAPI(t *testing.T, body func(t *testing.T, api string)) {
	for _, api := range []string{"GRPC", "DELTA_GRPC"} {
		t.Run(api, func(t *testing.T) { body(t, api) })
	}
}

// replicas starts echo servers with leases through Envoy, each over a connection of its own as processes have, and waits
// until Envoy calls all of them.
func replicas(t *testing.T, b *balancer, e *envoy, instances ...string) (backends []*backend, leases []*grpc.ClientConn) {
	t.Helper()
	for _, instance := range instances {
		one, lease := startBackend(t, "echo-go", instance), connect(t, e.mesh.Target()[len("passthrough:///"):])
		one.lease(t, lease)
		backends, leases = append(backends, one), append(leases, lease)
	}
	b.await(t, "echo-go", healthy(instances...))
	e.settle(t, 50, instances...)
	return backends, leases
}

func TestEnvoy_twoLeasedReplicas_shareTheLoad(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		b := startBalancer(t, nil)
		settings := envoySettings{API: api, Balancer: portOf(t, b.address), Static: portOf(t, unusedAddress(t))}
		e := startEnvoy(t, settings)
		replicas(t, b, e, "one", "two")
		counts := map[string]int{}
		for range 400 {
			instance, err := e.call(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			counts[instance]++
		}
		if counts["one"] < 100 || counts["two"] < 100 {
			t.Errorf("of 400 calls: %v", counts)
		}
	})
}

func TestEnvoy_killedReplica_isOutWithinThreeSeconds(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		b := startBalancer(t, nil)
		settings := envoySettings{API: api, Balancer: portOf(t, b.address), Static: portOf(t, unusedAddress(t))}
		e := startEnvoy(t, settings)
		backends, leases := replicas(t, b, e, "one", "two")
		backends[1].kill(leases[1])
		if took := e.settle(t, 100, "one"); took > 3*time.Second {
			t.Errorf("out after %s", took)
		}
	})
}

func TestEnvoy_replicaDeadBehindALivingLease_isOutWithinThreeSeconds(t *testing.T) {
	b := startBalancer(t, nil)
	settings := envoySettings{API: "DELTA_GRPC", Balancer: portOf(t, b.address), Static: portOf(t, unusedAddress(t))}
	e := startEnvoy(t, settings)
	backends, _ := replicas(t, b, e, "one", "two")
	backends[1].server.Stop()
	if took := e.settle(t, 100, "one"); took > 3*time.Second {
		t.Errorf("out after %s", took)
	}
}

func TestEnvoy_drainingReplica_losesNoCall(t *testing.T) {
	b := startBalancer(t, nil)
	settings := envoySettings{API: "DELTA_GRPC", Balancer: portOf(t, b.address), Static: portOf(t, unusedAddress(t))}
	e := startEnvoy(t, settings)
	backends, _ := replicas(t, b, e, "one", "two")
	stop := e.flow(t)
	backends[1].health.Shutdown()
	backends[1].unlease()
	b.await(t, "echo-go", healthy("one"))
	e.settle(t, 100, "one")
	backends[1].server.GracefulStop()
	e.settle(t, 100, "one")
	if _, failures := stop(); len(failures) > 0 {
		t.Errorf("%d calls failed, the first %v", len(failures), failures[0])
	}
}

// One healthy endpoint of three still takes every call: no panic routing, no spill to the static member.
func TestEnvoy_mostReplicasUnhealthy_theHealthyOneTakesAll(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_HEALTH_INTERVAL_MS": "50"})
	settings := envoySettings{API: "DELTA_GRPC", Balancer: portOf(t, b.address), Static: portOf(t, unusedAddress(t))}
	e := startEnvoy(t, settings)
	backends, _ := replicas(t, b, e, "one", "two", "three")
	for _, ill := range backends[1:] {
		ill.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	}
	b.await(t, "echo-go", func(state map[string]balancerv1.EndpointState) bool {
		return state["two"] == balancerv1.EndpointState_ENDPOINT_STATE_UNHEALTHY && state["three"] == balancerv1.EndpointState_ENDPOINT_STATE_UNHEALTHY
	})
	e.settle(t, 300, "one")
}

func TestEnvoy_balancerStopsAndReturns_noCallFails(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		b := startBalancer(t, nil)
		settings := envoySettings{API: api, Balancer: portOf(t, b.address), Static: portOf(t, unusedAddress(t))}
		e := startEnvoy(t, settings)
		replicas(t, b, e, "one", "two")
		stop := e.flow(t)
		b.stop()
		e.settle(t, 300, "one", "two") // without a balancer, both go on
		again := startBalancer(t, map[string]string{"UAIT_PORT": portOf(t, b.address), "UAIT_XDS_SETTLE_MS": "2000"})
		again.await(t, "echo-go", healthy("one", "two")) // the leases have come back by themselves
		third := startBackend(t, "echo-go", "three")
		third.lease(t, e.mesh)
		e.settle(t, 100, "one", "two", "three") // and Envoy listens to the new balancer
		answered, failures := stop()
		if len(failures) > 0 {
			t.Errorf("of %v calls %d failed, the first %v", answered, len(failures), failures[0])
		}
	})
}

func TestEnvoy_coldStartWithoutBalancer_servesTheStaticMember(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		catalogued := startBackend(t, "echo-go", "catalogued")
		settings := envoySettings{API: api, Balancer: portOf(t, unusedAddress(t)), Static: portOf(t, catalogued.address())}
		start := time.Now()
		e := startEnvoy(t, settings)
		e.settle(t, 20, "catalogued")
		t.Logf("%s served after %s", api, time.Since(start).Round(time.Millisecond))
	})
}

func TestEnvoy_balancerKnowsNoEndpoint_servesTheStaticMember(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		b := startBalancer(t, nil)
		catalogued := startBackend(t, "echo-go", "catalogued")
		settings := envoySettings{API: api, Balancer: portOf(t, b.address), Static: portOf(t, catalogued.address())}
		e := startEnvoy(t, settings)
		e.settle(t, 20, "catalogued")
		leased := startBackend(t, "echo-go", "leased")
		leased.lease(t, e.mesh)
		e.settle(t, 50, "leased")
		leased.unlease()
		e.settle(t, 50, "catalogued")
	})
}
