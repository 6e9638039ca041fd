package load

import (
	"context"
	"log/slog"
	"net"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	lbv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
)

func TestMeter_Between_ComputesRatesAndShares(t *testing.T) {
	var inFlight atomic.Int64
	inFlight.Store(5)
	meter := NewMeter(&inFlight, 20)
	for _, code := range []codes.Code{codes.OK, codes.NotFound, codes.Internal, codes.Unavailable} {
		meter.Finished(code)
	}
	begin := time.Now()
	half := time.Duration(processors()) * time.Second // of two seconds on every processor
	got := meter.between(
		sample{time: begin},
		sample{time: begin.Add(2 * time.Second), processor: half, finished: meter.finished.Load(), faults: meter.faults.Load()},
	)
	if got.GetCpu() != 0.5 || got.GetApplication() != 0.25 || got.GetRps() != 2 || got.GetEps() != 1 {
		t.Errorf("got %v", got)
	}
	if got.GetMemory() <= 0 || got.GetMemory() >= 1 {
		t.Errorf("memory: got %v of the machine", got.GetMemory())
	}
}

func TestMeter_Trailer_IsAnORCATextReport(t *testing.T) {
	report := newReport(&lbv1.Utilisation{Cpu: 0.5, Memory: 0.001, Application: 1, Rps: 1234.5})
	form := regexp.MustCompile(`^TEXT cpu_utilization=0\.50000, mem_utilization=0\.00100, application_utilization=1\.00000, ` +
		`rps_fractional=1234\.50000, eps=0\.00000$`)
	if got := report.trailer.Get(TrailerKey); len(got) != 1 || !form.MatchString(got[0]) {
		t.Errorf("got %q", got)
	}
}

func TestMeter_Run_MeasuresTheProcess(t *testing.T) {
	var inFlight atomic.Int64
	meter := NewMeter(&inFlight, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go meter.Run(ctx)
	for meter.Utilisation().GetRps() == 0 {
		if ctx.Err() != nil {
			t.Fatal("nothing was measured")
		}
		meter.Finished(codes.OK)
		time.Sleep(time.Millisecond)
	}
	if meter.Utilisation().GetMemory() == 0 {
		t.Error("the process has no memory")
	}
}

// balancer grants leases and tells what it received.
type balancer struct {
	lbv1.UnimplementedBalancerServiceServer
	ttl      time.Duration
	received chan *lbv1.RegisterEndpointRequest
	ended    chan error
	breaks   atomic.Int32 // so many leases are broken after their first renewal
}

func (b *balancer) RegisterEndpoint(stream grpc.BidiStreamingServer[lbv1.RegisterEndpointRequest, lbv1.RegisterEndpointResponse]) error {
	for count := 0; ; count++ {
		request, err := stream.Recv()
		if err != nil {
			b.ended <- err
			return nil
		}
		b.received <- request
		if count > 0 && b.breaks.Add(-1) >= 0 {
			return context.Canceled
		}
		if err := stream.Send(&lbv1.RegisterEndpointResponse{Ttl: durationpb.New(b.ttl)}); err != nil {
			return err
		}
	}
}

func startBalancer(t *testing.T) (*balancer, *grpc.ClientConn) {
	t.Helper()
	b := &balancer{ttl: 30 * time.Millisecond, received: make(chan *lbv1.RegisterEndpointRequest, 100), ended: make(chan error, 10)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	lbv1.RegisterBalancerServiceServer(server, b)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return b, connection
}

func (b *balancer) next(t *testing.T) *lbv1.RegisterEndpointRequest {
	t.Helper()
	select {
	case request := <-b.received:
		return request
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came to the balancer")
		return nil
	}
}

func TestHoldLease_ContextEnds_WithdrawsByHalfClose(t *testing.T) {
	b, connection := startBalancer(t)
	ctx, withdraw := context.WithCancel(context.Background())
	defer withdraw()
	var inFlight atomic.Int64
	endpoint := &lbv1.Endpoint{Service: "echo-go", Instance: "a", Host: "127.0.0.1", Port: 1}
	held := make(chan struct{})
	go func() {
		HoldLease(ctx, connection, endpoint, NewMeter(&inFlight, 1), slog.New(slog.DiscardHandler))
		close(held)
	}()
	if got := b.next(t).GetRegister(); got.GetInstance() != "a" {
		t.Fatalf("the first message registers %v", got)
	}
	for range 3 {
		if b.next(t).GetRenew() == nil {
			t.Fatal("a later message does not renew")
		}
	}
	withdraw()
	select {
	case err := <-b.ended:
		if err.Error() != "EOF" {
			t.Errorf("the lease ended with %v, want a half-close", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the lease was not withdrawn")
	}
	<-held
}

func TestHoldLease_StreamBreaks_RegistersAgain(t *testing.T) {
	b, connection := startBalancer(t)
	b.breaks.Store(2)
	ctx, withdraw := context.WithCancel(context.Background())
	defer withdraw()
	var inFlight atomic.Int64
	held := make(chan struct{})
	go func() {
		HoldLease(ctx, connection, &lbv1.Endpoint{Instance: "a"}, NewMeter(&inFlight, 1), slog.New(slog.DiscardHandler))
		close(held)
	}()
	for registered := 0; registered < 3; {
		if b.next(t).GetRegister() != nil {
			registered++
		}
	}
	withdraw()
	<-held
}
