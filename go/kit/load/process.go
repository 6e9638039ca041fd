package load

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func processors() int { return runtime.NumCPU() }

// processorTime is the time that all threads of the process have spent on processors.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// machineMemory is the machine's memory in bytes, from /proc/meminfo; 0 where there is none.
var machineMemory = sync.OnceValue(func() float64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) >= 2 && string(fields[0]) == "MemTotal:" {
			kilobytes, _ := strconv.ParseFloat(string(fields[1]), 64)
			return kilobytes * 1024
		}
	}
	return 0
})

// residentShare is the process's resident memory as a share of the machine's, from /proc/self/statm; 0 where there is none.
func residentShare() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 || machineMemory() == 0 {
		return 0
	}
	pages, _ := strconv.ParseFloat(string(fields[1]), 64)
	return min(1, pages*float64(os.Getpagesize())/machineMemory())
}
