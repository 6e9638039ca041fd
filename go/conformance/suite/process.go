package suite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ProcessID is a process of this machine.
type ProcessID int

var _ Process = ProcessID(0)

// Terminate sends SIGTERM.
func (p ProcessID) Terminate() error { return syscall.Kill(int(p), syscall.SIGTERM) }

// Gone says whether the process has ended. One that has, and that its parent has not yet waited for, is a zombie by /proc.
func (p ProcessID) Gone() bool {
	if err := syscall.Kill(int(p), 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", int(p)))
	if err != nil {
		return false
	}
	// The state follows the command, which is in parentheses and may hold any character (proc_pid_stat(5)).
	_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
	return len(state) > 0 && (state[0] == 'Z' || state[0] == 'X')
}
