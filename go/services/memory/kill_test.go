package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	memoryv1 "uait.dev/go/gen/uait/memory/v1"
)

const (
	killRounds  = 8
	killCallers = 8
	// killAfter is how many memories are acknowledged in a round before the process is killed.
	killAfter = 150
)

// acknowledged is a memory whose Store answered OK.
type acknowledged struct{ request, id, text string }

// The real binary is killed by SIGKILL again and again while callers store; whatever it acknowledged is there afterwards, once,
// and what it did not acknowledge can be repeated without doubling it.
func TestStore_killedUnderLoad_losesNothingAcknowledgedAndDoublesNothing(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "memory")
	if output, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	directory, n := t.TempDir(), startNeighbours(t)
	ctx := as(t, "acme")
	var all []acknowledged
	var unknown []*memoryv1.StoreRequest
	for round := range killRounds {
		process, client := startBinary(t, binary, directory, n)
		for _, request := range unknown {
			response, err := client.Store(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, acknowledged{request.GetRequestId(), response.GetMemory().GetMemoryId(), request.GetMemory().GetText()})
		}
		got, lost := storeUntilKilled(ctx, process, client, round)
		all, unknown = append(all, got...), lost
		if len(got) < killAfter {
			t.Fatalf("round %d: only %d memories were acknowledged", round, len(got))
		}
	}
	_, client := startBinary(t, binary, directory, n)
	for _, request := range unknown {
		if _, err := client.Store(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range all {
		got, err := client.Get(ctx, &memoryv1.GetRequest{MemoryId: a.id})
		if err != nil || got.GetMemory().GetText() != a.text {
			t.Fatalf("%s was acknowledged as %s and is %v, %v", a.request, a.id, got, err)
		}
		again, err := client.Store(ctx, &memoryv1.StoreRequest{RequestId: a.request, Memory: &memoryv1.MemoryDraft{Text: a.text}})
		if err != nil || again.GetMemory().GetMemoryId() != a.id {
			t.Fatalf("%s was acknowledged as %s and repeated as %v, %v", a.request, a.id, again, err)
		}
	}
	texts := map[string]int{}
	for token := ""; ; {
		list, err := client.List(ctx, &memoryv1.ListRequest{PageSize: 1000, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.GetMemories() {
			texts[m.GetText()]++
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	for text, count := range texts {
		if count != 1 {
			t.Errorf("%q is there %d times", text, count)
		}
	}
	if want := len(all) + len(unknown); len(texts) != want {
		t.Errorf("%d memories are there, %d were stored", len(texts), want)
	}
	await(t, ctx, "everything to be indexed", func() bool { return n.count("acme") == len(texts) })
	t.Logf("%d memories acknowledged over %d kills, each there once; %d calls were cut off and repeated", len(all), killRounds, len(unknown))
}

// storeUntilKilled stores from several callers and kills the process in the midst of it. lost are the calls without an answer.
func storeUntilKilled(
	ctx context.Context, process *os.Process, client memoryv1.MemoryServiceClient, round int,
) (got []acknowledged, lost []*memoryv1.StoreRequest) {
	var mu sync.Mutex
	var callers sync.WaitGroup
	for caller := range killCallers {
		callers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("kill-%d-%d-%d", round, caller, i)
				request := &memoryv1.StoreRequest{RequestId: name, Memory: &memoryv1.MemoryDraft{Text: "memory of " + name}}
				response, err := client.Store(ctx, request)
				mu.Lock()
				if err != nil {
					lost = append(lost, request)
					mu.Unlock()
					return
				}
				got = append(got, acknowledged{name, response.GetMemory().GetMemoryId(), request.GetMemory().GetText()})
				enough := len(got) == killAfter
				mu.Unlock()
				if enough {
					_ = process.Kill()
				}
			}
		})
	}
	callers.Wait()
	return got, lost
}

func startBinary(t *testing.T, binary, directory string, n *neighbours) (*os.Process, memoryv1.MemoryServiceClient) {
	t.Helper()
	process, connection := startProcess(t, binary, "UAIT_DATA_DIR="+directory, "UAIT_MESH="+n.address)
	return process, memoryv1.NewMemoryServiceClient(connection)
}

// startProcess runs a service's real binary, alone but for what the variables name, until the test ends.
func startProcess(t *testing.T, binary string, variables ...string) (*os.Process, *grpc.ClientConn) {
	t.Helper()
	command := exec.Command(binary)
	alone := []string{"UAIT_PORT=0", "UAIT_HTTP_PORT=0", "UAIT_LEASE=off", "UAIT_NATS_URL=off", "OTEL_SDK_DISABLED=true"}
	command.Env = append(alone, variables...)
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	late := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
	defer late.Stop()
	address := servingAddress(t, bufio.NewScanner(stdout))
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return command.Process, connection
}
