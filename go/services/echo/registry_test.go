package main

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

func set(value int) func(int) int { return func(int) int { return value } }

func TestRegistry_FactComesLater_WakesAllWhoWait(t *testing.T) {
	r := newRegistry[int](10)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	k := key{"acme", "x"}
	got := make(chan int, 2)
	for range 2 {
		go func() {
			value, _ := r.await(ctx, k)
			got <- value
		}()
	}
	r.update(key{"globex", "x"}, set(1)) // Another tenant's fact of that name wakes nobody.
	r.update(k, set(7))
	for range 2 {
		if value := <-got; value != 7 {
			t.Errorf("got %d", value)
		}
	}
	r.update(k, func(before int) int { return before + 1 })
	if value, err := r.await(ctx, k); value != 8 || err != nil {
		t.Errorf("got %d, %v", value, err)
	}
}

func TestRegistry_WaiterLeaves_LeavesNothingBehind(t *testing.T) {
	r := newRegistry[int](10)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.await(ctx, key{"acme", "never"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(r.waiting) != 0 {
		t.Errorf("%d keys are still waited for", len(r.waiting))
	}
}

func TestRegistry_MoreThanItKeeps_ForgetsTheOldest(t *testing.T) {
	r := newRegistry[int](3)
	for i := range 100 {
		r.update(key{"acme", strconv.Itoa(i)}, set(i))
	}
	if len(r.facts) != 3 {
		t.Errorf("%d facts are kept", len(r.facts))
	}
	for _, i := range []int{97, 98, 99} {
		if value, err := r.await(context.Background(), key{"acme", strconv.Itoa(i)}); value != i || err != nil {
			t.Errorf("got %d, %v; want %d", value, err, i)
		}
	}
}
